//! Panics of GPU runtimes, and of networks that are compiled code, as errors.

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Mutex, PoisonError};

/// The panic hook is one for the process: who swaps it goes alone.
static HOOK: Mutex<()> = Mutex::new(());

/// Runs `work`; a panic becomes its message. No panic of any thread is printed meanwhile, because
/// runtimes work on threads of their own.
///
/// What `work` leaves half done must not be used afterwards.
///
/// # Errors
/// The message of a panic.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let _alone = HOOK.lock().unwrap_or_else(PoisonError::into_inner);
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    panic::set_hook(hook);
    result.map_err(|payload| {
        let text = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied())
            .unwrap_or("no reason given");
        // Drivers answer in paragraphs; the first line says what failed.
        text.lines().next().unwrap_or_default().to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_the_first_line_of_its_message() {
        let result: Result<(), String> = caught(|| panic!("no adapter {}\nbacktrace", 3));
        assert_eq!(result.unwrap_err(), "no adapter 3");
    }

    #[test]
    fn a_result_passes_through() {
        assert_eq!(caught(|| 7), Ok(7));
    }
}

//! How many threads the CPU backend uses.
//!
//! Burn's Flex backend and its matrix products (`gemm`) both run on Rayon's global pool, whose size
//! is fixed when it is first used. Threads that prepare batches are counted elsewhere.

use super::DeviceError;

/// Bounds the CPU backend to `count` threads, for the whole process. To be called before the first
/// tensor is computed.
///
/// # Errors
/// A `count` of 0, or another one than the pool already runs with.
pub fn set_threads(count: usize) -> Result<(), DeviceError> {
    let refuse = |reason: String| Err(DeviceError::Threads { got: count, reason });
    if count == 0 {
        return refuse("expected 1 or more".to_owned());
    }
    // A pool of another origin is no error if it has the size asked for.
    match rayon::ThreadPoolBuilder::new().num_threads(count).build_global() {
        Ok(()) => Ok(()),
        Err(_) if rayon::current_num_threads() == count => Ok(()),
        Err(error) => refuse(format!("{error}, with {} threads", rayon::current_num_threads())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_that_already_runs_is_accepted_and_another_is_not() {
        let running = rayon::current_num_threads();
        set_threads(running).unwrap();
        let message = set_threads(running + 1).unwrap_err().to_string();
        assert!(
            message.starts_with(&format!("cannot use {} threads: ", running + 1)),
            "{message}"
        );
    }

    #[test]
    fn no_threads_are_refused() {
        let message = set_threads(0).unwrap_err().to_string();
        assert_eq!(message, "cannot use 0 threads: expected 1 or more");
    }
}

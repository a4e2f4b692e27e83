//! Jobs done ahead by worker threads, their results taken in order.
//!
//! burn's own multi-threaded loader gives each worker a part of the data set, so the order of the
//! batches depends on the number of threads; here a worker takes the next job, whichever it is, and
//! the results wait for their turn.

use super::DataError;
use std::{
    any::Any,
    collections::BTreeMap,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
};

/// The results of `job(n)` for each `n` of a range, in order. Dropping it stops the workers and
/// waits for them.
pub(super) struct Prefetch<T> {
    shared: Arc<Shared<T>>,
    workers: Vec<JoinHandle<()>>,
}

struct Shared<T> {
    queue: Mutex<Queue<T>>,
    /// Signalled at each change of the queue: a worker may claim, or the consumer may take.
    changed: Condvar,
    /// The most results that are waiting or in work.
    ahead: usize,
}

struct Queue<T> {
    /// The next job that no worker has claimed, up to the end.
    unclaimed: Range<usize>,
    /// The next result that the consumer takes.
    next: usize,
    done: BTreeMap<usize, Result<T, DataError>>,
    stopped: bool,
}

impl<T> Shared<T> {
    /// No code that can panic runs under the lock, so a poisoned queue is still whole.
    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, queue: MutexGuard<'a, Queue<T>>) -> MutexGuard<'a, Queue<T>> {
        self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a job that may be started now; nothing once there are none.
    fn claim(&self) -> Option<usize> {
        let mut queue = self.lock();
        loop {
            if queue.stopped || queue.unclaimed.is_empty() {
                return None;
            }
            if queue.unclaimed.start < queue.next + self.ahead {
                return queue.unclaimed.next();
            }
            queue = self.wait(queue);
        }
    }
}

impl<T: Send + 'static> Prefetch<T> {
    /// Starts `threads` workers on `jobs`, which keep at most `ahead` results (at least one per
    /// worker). Fewer work where the system starts fewer; where it starts none, the only result is
    /// an error.
    pub fn new(
        jobs: Range<usize>,
        threads: usize,
        ahead: usize,
        job: impl Fn(usize) -> Result<T, DataError> + Send + Sync + 'static,
    ) -> Self {
        let queue = Queue {
            next: jobs.start,
            unclaimed: jobs,
            done: BTreeMap::new(),
            stopped: false,
        };
        let shared = Arc::new(Shared {
            queue: Mutex::new(queue),
            changed: Condvar::new(),
            ahead: ahead.max(threads),
        });
        let job = Arc::new(job);
        let start = |number: usize| {
            let (shared, job) = (Arc::clone(&shared), Arc::clone(&job));
            let work = move || {
                while let Some(number) = shared.claim() {
                    // An image decoder that panics on a broken file must not leave the consumer
                    // waiting.
                    let result = catch_unwind(AssertUnwindSafe(|| job(number))).unwrap_or_else(|panic| {
                        Err(DataError::Panicked {
                            batch: number,
                            text: text(panic),
                        })
                    });
                    shared.lock().done.insert(number, result);
                    shared.changed.notify_all();
                }
            };
            std::thread::Builder::new()
                .name(format!("data-{number}"))
                .spawn(work)
        };
        let workers = (0..threads.max(1))
            .map_while(|number| start(number).ok())
            .collect();
        Self { shared, workers }
    }
}

impl<T> Iterator for Prefetch<T> {
    type Item = Result<T, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut queue = self.shared.lock();
        loop {
            let next = queue.next;
            if let Some(result) = queue.done.remove(&next) {
                queue.next += 1;
                self.shared.changed.notify_all();
                return Some(result);
            }
            // Claimed but not done: wait for it. Not claimed and none left: the end.
            if next == queue.unclaimed.end {
                return None;
            }
            if self.workers.is_empty() {
                queue.next = queue.unclaimed.end;
                return Some(Err(DataError::NoThread));
            }
            queue = self.shared.wait(queue);
        }
    }
}

impl<T> Drop for Prefetch<T> {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_all();
        for worker in self.workers.drain(..) {
            // A worker catches its job's panics, so there is nothing to learn from its result.
            let _ = worker.join();
        }
    }
}

fn text(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic
            .downcast_ref::<&str>()
            .copied()
            .unwrap_or("panic without a message")
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    #[test]
    fn results_come_in_order_whichever_job_ends_first() {
        for threads in [0, 1, 4] {
            let slow_when_even = |n: usize| {
                std::thread::sleep(Duration::from_millis(if n.is_multiple_of(2) { 3 } else { 0 }));
                Ok(n)
            };
            let results: Result<Vec<_>, _> = Prefetch::new(5..25, threads, 6, slow_when_even).collect();
            assert_eq!(results.unwrap(), (5..25).collect::<Vec<_>>());
        }
    }

    #[test]
    fn workers_stay_within_the_bound_and_stop_when_dropped() {
        let started = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&started);
        let mut results = Prefetch::new(0..1000, 3, 4, move |n| {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(n)
        });
        assert_eq!(results.next().unwrap().unwrap(), 0);
        std::thread::sleep(Duration::from_millis(50));
        // The result that was taken, and four ahead.
        assert!(started.load(Ordering::SeqCst) <= 5);
        drop(results);
        assert!(started.load(Ordering::SeqCst) <= 5);
        // The job, and with it every worker, is gone.
        assert_eq!(Arc::strong_count(&started), 1);
    }

    #[test]
    fn a_panic_is_an_error_in_its_place() {
        let job = |n| if n == 1 { panic!("image {n} is odd") } else { Ok(n) };
        let mut results = Prefetch::new(0..3, 2, 2, job);
        assert_eq!(results.next().unwrap().unwrap(), 0);
        let error = results.next().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "preparing batch 1 failed: image 1 is odd");
        assert_eq!(results.next().unwrap().unwrap(), 2);
        assert!(results.next().is_none());
    }
}

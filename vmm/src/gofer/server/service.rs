//! The loop that serves a queue.

use std::{
    num::NonZero,
    thread,
    time::{Duration, Instant},
};

use super::Server;
use crate::virtqueue::{DeviceQueue, QueueError};

/// How long to look for the next request before sleeping. Waking a sleeping thread doubles the time
/// of a small request (measured: 13 instead of 6.5 microseconds for a LOOKUP), which a client that
/// sends one after the other would pay each time.
const SPIN: Duration = Duration::from_micros(20);

/// With fewer processors than this, spinning takes time from the very client that is waited for.
const MIN_PROCESSORS_TO_SPIN: usize = 4;

/// How long this host's processors make it worth to spin: to be asked before the thread is confined,
/// for the answer is in files.
pub fn spin_time() -> Duration {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    if processors < MIN_PROCESSORS_TO_SPIN { Duration::ZERO } else { SPIN }
}

/// Serves `queue` until it breaks; spins for at most `spin` before it sleeps.
///
/// # Errors
/// [`QueueError`]: the client broke its queue; nobody else is affected.
pub fn serve(
    queue: &mut DeviceQueue,
    server: &mut Server,
    spin: Duration,
) -> Result<(), QueueError> {
    loop {
        queue.disable_kicks()?;
        while await_request(queue, spin)? {
            while let Some(chain) = queue.pop()? {
                let written = server.handle(&chain);
                queue.complete(chain.head(), written)?;
            }
        }
        if !queue.enable_kicks()? {
            queue.kick().wait()?;
        }
    }
}

/// Waits a moment for a request; answers whether one came.
fn await_request(queue: &DeviceQueue, spin: Duration) -> Result<bool, QueueError> {
    let start = Instant::now();
    loop {
        if queue.has_available()? {
            return Ok(true);
        }
        if start.elapsed() >= spin {
            return Ok(false);
        }
        std::hint::spin_loop();
    }
}

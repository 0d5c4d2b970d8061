//! The loop that serves a queue.

use std::time::{Duration, Instant};

use super::Server;
use crate::virtqueue::{DeviceQueue, QueueError};

/// How long to look for the next request before sleeping. Waking a sleeping thread costs several
/// microseconds, which a client that sends one small request after the other would pay each time.
const SPIN: Duration = Duration::from_micros(20);

/// Serves `queue` until it breaks.
///
/// # Errors
/// [`QueueError`]: the client broke its queue; nobody else is affected.
pub fn serve(queue: &mut DeviceQueue, server: &mut Server) -> Result<(), QueueError> {
    loop {
        queue.disable_kicks()?;
        while await_request(queue)? {
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
fn await_request(queue: &DeviceQueue) -> Result<bool, QueueError> {
    let start = Instant::now();
    loop {
        if queue.has_available()? {
            return Ok(true);
        }
        if start.elapsed() >= SPIN {
            return Ok(false);
        }
        std::hint::spin_loop();
    }
}

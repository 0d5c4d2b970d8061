//! Runs futures in tests: polls them, and the drivers in between, on the caller's thread.

use core::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use crate::kernel::Driver;

/// Polls `future` once without a waker.
pub(crate) fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Runs `future` to its end; `drivers` take completions whenever it waits.
pub(crate) fn block_on<T>(drivers: &[&dyn Driver], future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..100_000 {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        drivers.iter().for_each(|driver| driver.poll());
    }
    panic!("the future waits for something that nobody does");
}

//! Waiting until one of several files is ready.

use alloc::{sync::Arc, vec::Vec};
use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use super::Timeout;
use crate::{
    kernel::{Current, Interruption, PollEvents, WaitReason, WaiterId},
    vfs::OpenFile,
};

/// One file, and what is asked of it.
pub(super) struct Watch {
    /// The file; `None` if the descriptor is not open.
    pub open: Option<Arc<OpenFile>>,
    /// What is asked; errors and hang-ups always are.
    pub interest: PollEvents,
}

impl Watch {
    /// What the file is ready for of what is asked.
    pub fn events(&self) -> PollEvents {
        let Some(open) = &self.open else { return PollEvents::INVALID };
        let always = PollEvents::ERROR | PollEvents::HANG_UP;
        open.file.poll() & (self.interest | always)
    }
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A file is ready.
    Ready,
    /// The time is over.
    TimedOut,
    /// A signal came.
    Interrupted,
}

/// Waits until one of `watches` is ready.
pub(super) async fn wait(current: &Current, watches: &[Watch], timeout: Timeout) -> Outcome {
    if any_ready(watches) {
        return Outcome::Ready;
    }
    if timeout == Timeout::Zero {
        return Outcome::TimedOut;
    }
    let ready = AnyReady { watches, registered: Vec::new() };
    match current.wait(WaitReason::Poll, timeout.deadline(), ready).await {
        Ok(()) => Outcome::Ready,
        Err(Interruption::TimedOut) => Outcome::TimedOut,
        Err(Interruption::Signal) => Outcome::Interrupted,
    }
}

fn any_ready(watches: &[Watch]) -> bool {
    watches.iter().any(|watch| !watch.events().is_empty())
}

/// Is in the wait queues of all files while it waits.
struct AnyReady<'a> {
    watches: &'a [Watch],
    registered: Vec<(usize, WaiterId)>,
}

impl AnyReady<'_> {
    fn register(&mut self, context: &Context<'_>) {
        for (index, watch) in self.watches.iter().enumerate() {
            let queue = watch.open.as_ref().and_then(|open| open.file.wait_queue());
            if let Some(queue) = queue {
                let waiter = queue.add_waker(watch.interest, context.waker().clone());
                self.registered.push((index, waiter));
            }
        }
    }

    fn unregister(&mut self) {
        for (index, waiter) in self.registered.drain(..) {
            let open = self.watches.get(index).and_then(|watch| watch.open.as_ref());
            if let Some(queue) = open.and_then(|open| open.file.wait_queue()) {
                queue.remove(waiter);
            }
        }
    }
}

impl Future for AnyReady<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.unregister();
        if any_ready(self.watches) {
            return Poll::Ready(());
        }
        self.register(context);
        // An event may have come between the look and the registration.
        if any_ready(self.watches) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for AnyReady<'_> {
    fn drop(&mut self) {
        self.unregister();
    }
}

#[cfg(test)]
mod tests {
    use core::task::Waker;

    use super::*;
    use crate::{
        fs::{event_fd::EventFd, testing::Bytes},
        vfs::{OpenFlags, WritePosition},
    };

    #[test]
    fn any_of_the_files_ends_the_wait_and_all_are_left() {
        let open = |count| OpenFile::new(EventFd::new(count, false), None, OpenFlags::READ_WRITE);
        let files = [open(0), open(0)];
        let watch =
            |open: &Arc<OpenFile>| Watch { open: Some(open.clone()), interest: PollEvents::IN };
        let watches: Vec<Watch> = files.iter().map(watch).collect();
        let mut ready = AnyReady { watches: &watches, registered: Vec::new() };
        let mut context = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut ready).poll(&mut context).is_pending());
        let one = 1_u64.to_ne_bytes();
        files[1].file.try_write(WritePosition::At(0), &mut Bytes::new(&one)).unwrap();
        assert!(Pin::new(&mut ready).poll(&mut context).is_ready());
        drop(ready);
        assert!(files.iter().all(|open| open.file.wait_queue().unwrap().is_empty()));
        assert_eq!(watches[0].events(), PollEvents::empty());
        assert_eq!(watches[1].events(), PollEvents::IN);
    }

    #[test]
    fn a_closed_descriptor_is_ready_as_invalid() {
        let watch = Watch { open: None, interest: PollEvents::IN };
        assert_eq!(watch.events(), PollEvents::INVALID);
    }
}

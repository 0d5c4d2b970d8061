//! The ptrace platform: the sentry linked into a host process, applications in stub processes.
//!
//! Start reading at [`PtracePlatform`]: it implements [`sentry::platform::Platform`] from the parts
//! below it. An *executor* is a host thread; an address space is a *stub process*; where they meet
//! is a *stub thread* that this executor traces. The *keeper* is one more thread: it makes and ends
//! stub processes, changes mappings for those who cannot, and ends time slices.

mod calls;
mod clock;
mod config;
mod executor;
mod keeper;
mod placement;
mod platform;
mod space;
mod spaces;
mod stub;
mod sys;

pub use clock::host_trusts_tsc;
pub use config::{Config, DeviceWindow, Error, create_sandbox_memory};
pub use platform::PtracePlatform;

//! Devices: what the numbers of device nodes stand for, and the standard contents of /dev.

mod memory_devices;
mod nodes;

pub use memory_devices::{Full, Null, RandomDevice, Zero};
pub use nodes::populate;

use alloc::sync::Arc;

use crate::{
    errno::{Errno, Result},
    tty::{self, SLAVE_MAJOR, TerminalFile},
    vfs::{Caller, DeviceNumber, File, OpenFlags},
};

/// /dev/ptmx.
pub const PTMX: DeviceNumber = DeviceNumber { major: 5, minor: 2 };

/// Opens the character device `number` (Linux, admin-guide/devices.txt), wherever its node is.
///
/// # Errors
/// ENXIO if there is no such device.
pub fn open_device(
    caller: Caller<'_>,
    number: DeviceNumber,
    flags: OpenFlags,
) -> Result<Arc<dyn File>> {
    let terminals = &caller.container().terminals;
    match (number.major, number.minor) {
        (1, 3) => Ok(Arc::new(Null)),
        (1, 5) => Ok(Arc::new(Zero)),
        (1, 7) => Ok(Arc::new(Full)),
        (1, 8 | 9) => Ok(Arc::new(RandomDevice::new(caller.kernel.clone()))),
        (5, 0) => {
            let terminal = caller.task.and_then(|task| tty::controlling_terminal(task));
            let terminal = terminal.ok_or(Errno::ENXIO)?;
            TerminalFile::open(terminal, caller, flags | OpenFlags::NO_CONTROLLING_TERMINAL)
        }
        (5, 1) => {
            let console = terminals.console.get().ok_or(Errno::ENXIO)?;
            TerminalFile::open(console.clone(), caller, flags)
        }
        (5, 2) => Ok(terminals.ptys.open_master(caller)?),
        (SLAVE_MAJOR, number) => terminals.ptys.open_slave(number, caller, flags),
        _ => Err(Errno::ENXIO),
    }
}

//! The devices of a sandbox: their windows, doorbells and place in the device table.

use std::{
    io,
    ops::Range,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use guest_abi::device::{DeviceDescriptor, DeviceKind, QueueId};
use platform_ptrace::DeviceWindow;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

use super::plan::{CONSOLE_DEVICE, CONTROL_DEVICE, Trees};
use crate::{
    gofer::GoferMount,
    virtqueue::{DeviceQueue, Doorbell, Window},
};

/// Descriptors of a console or control queue.
const STREAM_QUEUE_SIZE: u16 = 64;
/// Window of the consoles and of the control device, in bytes.
const STREAM_WINDOW_BYTES: u64 = 8 << 20;
/// Descriptors of a file-system queue.
const FILE_SYSTEM_QUEUE_SIZE: u16 = 256;
/// Window of a file-system device, in bytes. The host provides a page when it is first used.
const FILE_SYSTEM_WINDOW_BYTES: u64 = 16 << 20;

/// One device before its back end and its driver take their parts.
#[derive(Debug)]
pub struct Device {
    /// Its line of the device table.
    pub descriptor: DeviceDescriptor,
    index: u16,
    window: OwnedFd,
    /// What the driver rings ([`DeviceKind::doorbell_of`]).
    kicks: Vec<Doorbell>,
    /// What the device rings.
    call: Doorbell,
}

/// The devices of a container that shows `trees`, in the order of the device table; those at `spare`
/// are for further containers. The last one gives processes that are started later their streams, if
/// there can be any.
///
/// # Errors
/// If the limit of open files or of memory is reached.
pub fn create_all(trees: &Trees, spare: Range<u16>, can_execute: bool) -> io::Result<Vec<Device>> {
    let streams = |kind, index| Device::create(kind, index, STREAM_QUEUE_SIZE, STREAM_WINDOW_BYTES);
    let mut devices = vec![
        streams(DeviceKind::Console, CONSOLE_DEVICE)?,
        streams(DeviceKind::Control, CONTROL_DEVICE)?,
    ];
    for index in trees.devices().map(|(index, _)| index).chain(spare) {
        let (size, bytes) = (FILE_SYSTEM_QUEUE_SIZE, FILE_SYSTEM_WINDOW_BYTES);
        devices.push(Device::create(DeviceKind::FileSystem, index, size, bytes)?);
    }
    if can_execute {
        let index = u16::try_from(devices.len()).map_err(io::Error::other)?;
        devices.push(streams(DeviceKind::ExecConsoles, index)?);
    }
    Ok(devices)
}

impl Device {
    fn create(kind: DeviceKind, index: u16, queue_size: u16, bytes: u64) -> io::Result<Self> {
        let kicks = (0..kind.doorbell_count())
            .map(|_| Doorbell::new())
            .collect::<Result<_, rustix::io::Errno>>()?;
        Ok(Self {
            descriptor: DeviceDescriptor::layout(kind, index.into(), queue_size, bytes),
            index,
            window: sealed_memfd("device-window", bytes)?,
            kicks,
            call: Doorbell::new()?,
        })
    }

    /// Its place in the device table.
    pub const fn index(&self) -> u16 {
        self.index
    }

    /// The device's side of all its queues.
    ///
    /// # Errors
    /// If the window cannot be mapped.
    pub fn serve(&self) -> io::Result<Vec<DeviceQueue>> {
        let window =
            Window::map(self.window.try_clone()?, &self.descriptor).map_err(io::Error::other)?;
        (0..)
            .zip(&self.descriptor.queues)
            .map(|(queue, layout)| {
                let (kick, call) = (self.doorbell(queue)?.clone(), self.call.clone());
                DeviceQueue::new(window.clone(), layout, kick, call).map_err(io::Error::other)
            })
            .collect()
    }

    /// The device as the gofer serves it, showing `source`.
    ///
    /// # Errors
    /// If the limit of open files is reached.
    pub fn gofer_mount(&self, source: &super::plan::Tree) -> io::Result<GoferMount> {
        Ok(GoferMount {
            tree: source.clone(),
            device: self.descriptor.clone(),
            window: self.window.try_clone()?,
            kick: self.doorbell(0)?.clone(),
            call: self.call.clone(),
        })
    }

    /// What whoever serves it needs: the window, and what the driver and the device ring.
    pub fn ends(&self) -> Option<[BorrowedFd<'_>; 3]> {
        Some([self.window.as_fd(), self.kicks.first()?.as_fd(), self.call.as_fd()])
    }

    /// The window as the platform maps it.
    ///
    /// # Errors
    /// If the limit of open files is reached.
    pub fn platform_window(&self) -> io::Result<DeviceWindow> {
        Ok(DeviceWindow {
            file: self.window.try_clone()?,
            base: self.descriptor.window_base,
            size: self.descriptor.window_size,
        })
    }

    /// The window as a memory slot of a virtual machine.
    ///
    /// # Errors
    /// If the limit of open files is reached.
    pub fn machine_window(&self) -> io::Result<platform_kvm::DeviceWindow> {
        Ok(platform_kvm::DeviceWindow {
            file: self.window.try_clone()?,
            base: self.descriptor.window_base,
            size: self.descriptor.window_size,
        })
    }

    /// The doorbell of queue `queue`.
    fn doorbell(&self, queue: u16) -> io::Result<&Doorbell> {
        let index = usize::from(self.descriptor.kind.doorbell_of(queue));
        self.kicks.get(index).ok_or_else(|| io::Error::other("no such doorbell"))
    }

    /// What the platform rings, by doorbell.
    ///
    /// # Errors
    /// If the limit of open files is reached.
    pub fn kicks(&self) -> io::Result<Vec<(QueueId, OwnedFd)>> {
        (0..)
            .zip(&self.kicks)
            .map(|(queue, kick)| {
                let id = QueueId { device: self.index, queue };
                Ok((id, kick.as_fd().try_clone_to_owned()?))
            })
            .collect()
    }

    /// What rings when the device has used buffers, of whichever queue.
    ///
    /// # Errors
    /// If the limit of open files is reached.
    pub fn call(&self) -> io::Result<OwnedFd> {
        self.call.as_fd().try_clone_to_owned()
    }
}

/// A memfd of `bytes` zero bytes whose size nobody can change: shrinking it would crash whoever
/// maps it (SIGBUS).
///
/// # Errors
/// Those of memfd_create(2) and ftruncate(2).
pub fn sealed_memfd(name: &str, bytes: u64) -> io::Result<OwnedFd> {
    let memfd = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    ftruncate(&memfd, bytes)?;
    fcntl_add_seals(&memfd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(memfd)
}

//! Doorbells and calls: eventfds that KVM itself signals and turns into interrupts, so that no
//! thread of the VMM stands between the sentry and a device.

use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};

use guest_abi::{
    device::QueueId,
    kvm::{DEVICE_VECTOR, doorbell_port},
};
use kvm_bindings::{
    KVM_IRQ_ROUTING_MSI, KvmIrqRouting, kvm_irq_routing_entry, kvm_irq_routing_msi,
};
use kvm_ioctls::{IoEventAddress, NoDatamatch, VmFd};
use vmm_sys_util::eventfd::EventFd;

use crate::config::Error;

/// Address of a message to the APIC with id 0 (Intel SDM volume 3, 11.11).
const MESSAGE_ADDRESS: u32 = 0xfee0_0000;

/// Connects every queue's doorbell port with its eventfd.
pub fn connect_doorbells(vm: &VmFd, kicks: Vec<(QueueId, OwnedFd)>) -> Result<Vec<EventFd>, Error> {
    kicks
        .into_iter()
        .map(|(queue, kick)| {
            let port = doorbell_port(queue).ok_or(Error::Configuration("fewer queues"))?;
            let kick = event_fd(kick);
            let address = IoEventAddress::Pio(port.into());
            vm.register_ioevent(&kick, &address, NoDatamatch)
                .map_err(Error::kvm("connect a doorbell"))?;
            Ok(kick)
        })
        .collect()
}

/// Makes every call an interrupt of the first vCPU, which wakes others as their tasks become ready.
pub fn connect_calls(vm: &VmFd, calls: Vec<OwnedFd>) -> Result<Vec<EventFd>, Error> {
    let routes: Vec<_> = (0..).zip(&calls).map(|(line, _)| route(line)).collect();
    let routing =
        KvmIrqRouting::from_entries(&routes).map_err(|_| Error::Configuration("fewer devices"))?;
    vm.set_gsi_routing(&routing).map_err(Error::kvm("route interrupts"))?;
    (0..)
        .zip(calls)
        .map(|(line, call)| {
            let call = event_fd(call);
            vm.register_irqfd(&call, line).map_err(Error::kvm("connect a device's call"))?;
            Ok(call)
        })
        .collect()
}

fn route(line: u32) -> kvm_irq_routing_entry {
    let mut entry =
        kvm_irq_routing_entry { gsi: line, type_: KVM_IRQ_ROUTING_MSI, ..Default::default() };
    entry.u.msi = kvm_irq_routing_msi {
        address_lo: MESSAGE_ADDRESS,
        data: DEVICE_VECTOR.into(),
        ..Default::default()
    };
    entry
}

fn event_fd(fd: OwnedFd) -> EventFd {
    // SAFETY: the descriptor is owned and moves into the result.
    unsafe { EventFd::from_raw_fd(fd.into_raw_fd()) }
}

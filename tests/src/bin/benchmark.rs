//! `cargo run --release -p integration-tests --bin benchmark`: what the sandbox costs.
//!
//! Times the operations of `microbenchmarks` natively, in the sandbox on each platform that works
//! here, and under runc and crun where they are installed, in turn and in one run, and prints ratios
//! to native. A host's speed drifts, so only figures of one run may be compared. With
//! `--report DIRECTORY` it also writes benchmark.md and benchmark.html there. With `--instructions` it
//! only times the operations on the kvm platform: in a machine whose clock counts instructions
//! (tests/kvm/README.md) the figures are instructions.
#![allow(clippy::print_stdout, reason = "a command that prints a report")]
#![allow(clippy::float_arithmetic, reason = "ratios")]

use std::{env, fs, io, path::Path};

use integration_tests::benchmark::{
    Contender, Report, Table, exits_per_operation, idle_memory_bytes, start_times,
    sysemu_stop_nanoseconds,
};

const ROUNDS: usize = 3;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--instructions") {
        print_instructions();
        return Ok(());
    }
    let contenders = Contender::all();
    let mut tables = vec![operations(&contenders), starts(&contenders), memory(&contenders)];
    if contenders.contains(&Contender::Sandbox("kvm")) {
        tables.push(exits(&tables[0]));
    }
    let report = Report { machine: machine(), tables };
    println!("{}", report.markdown());
    if let [flag, directory] = arguments.as_slice()
        && flag == "--report"
    {
        let directory = Path::new(directory);
        fs::write(directory.join("benchmark.md"), report.markdown())?;
        fs::write(directory.join("benchmark.html"), report.html())?;
    }
    Ok(())
}

fn names(contenders: &[Contender]) -> Vec<String> {
    contenders.iter().map(|contender| contender.name().to_owned()).collect()
}

fn operations(contenders: &[Contender]) -> Table {
    let figures: Vec<_> = contenders.iter().map(|contender| contender.operations(ROUNDS)).collect();
    let figure_of = |own: &Vec<(String, u64)>, name: &str| {
        own.iter().find(|(other, _)| other == name).map(|(_, nanoseconds)| *nanoseconds as f64)
    };
    let mut rows: Vec<_> = figures[0]
        .iter()
        .map(|(name, _)| (name.clone(), figures.iter().map(|own| figure_of(own, name)).collect()))
        .collect();
    let mut stop = vec![None; contenders.len()];
    stop[0] = Some(sysemu_stop_nanoseconds() as f64);
    rows.push(("bare PTRACE_SYSEMU stop".into(), stop));
    Table {
        title: "Operations".into(),
        note: "Nanoseconds an operation, the best of several rounds, and the ratio to native."
            .into(),
        columns: names(contenders),
        unit: "ns",
        decimals: 0,
        rows,
        has_ratios: true,
    }
}

fn starts(contenders: &[Contender]) -> Table {
    let times = start_times(contenders, 15).into_iter().map(|(_, time)| Some(time)).collect();
    Table {
        title: "Start".into(),
        note: "Milliseconds from start to end of /bin/true, median of 15.".into(),
        columns: names(contenders),
        unit: "ms",
        decimals: 1,
        rows: vec![("start".into(), times)],
        has_ratios: true,
    }
}

fn memory(contenders: &[Contender]) -> Table {
    let sandboxes = contenders.iter().filter_map(|contender| match contender {
        Contender::Sandbox(platform) => Some(*platform),
        _ => None,
    });
    let sandboxes: Vec<_> = sandboxes.collect();
    let figures = sandboxes
        .iter()
        .map(|platform| idle_memory_bytes(platform).map(|bytes| bytes as f64 / 1024.0));
    Table {
        title: "Memory".into(),
        note: "Proportional set size of all processes of a sandbox whose shell waits.".into(),
        columns: sandboxes.iter().map(|name| (*name).to_owned()).collect(),
        unit: "KiB",
        decimals: 0,
        rows: vec![("idle".into(), figures.collect())],
        has_ratios: false,
    }
}

fn exits(operations: &Table) -> Table {
    let rows =
        operations.rows.iter().map(|(name, _)| (name.clone(), vec![exits_per_operation(name)]));
    Table {
        title: "VM exits".into(),
        note: "Exits an operation on one vCPU, without those of the host's own interrupts.".into(),
        columns: vec!["kvm".into()],
        unit: "",
        decimals: 3,
        rows: rows.filter(|(_, figures)| figures[0].is_some()).collect(),
        has_ratios: false,
    }
}

fn print_instructions() {
    for (name, instructions) in Contender::Sandbox("kvm").operations(1) {
        println!("{name} {instructions}");
    }
}

/// The processor, and what emulates it if something does.
fn machine() -> String {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model);
    let count = processors.lines().filter(|line| line.starts_with("processor")).count();
    let virtual_machine = if processors.contains(" hypervisor") { ", virtual" } else { "" };
    format!("{model}, {count} processors{virtual_machine}")
}

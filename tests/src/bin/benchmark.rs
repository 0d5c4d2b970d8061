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
    Contender, Report, Table, docker_start, exits_per_operation, idle_program_bytes,
    idle_sandbox_bytes, life_cycle, phases, start_times, sysemu_stop_nanoseconds,
};

const ROUNDS: usize = 3;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--instructions") {
        print_instructions();
        return Ok(());
    }
    let (contenders, left_out) = Contender::all();
    let operations = operations(&contenders);
    let stops = stops(&operations);
    let has_kvm = contenders.contains(&Contender::Sandbox("kvm"));
    let (faster, exits) = (speed_up(&operations), has_kvm.then(|| exits(&operations)));
    let mut tables = vec![operations, stops];
    tables.extend(has_kvm.then_some(faster));
    tables.extend([starts(&contenders), phases(&contenders), memory(&contenders)]);
    tables.push(life_cycle(&platforms(&contenders).collect::<Vec<_>>()));
    tables.extend(docker_start());
    tables.extend(exits);
    let report = Report { machine: machine(), left_out, tables };
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
    let rows = figures[0]
        .iter()
        .map(|(name, _)| (name.clone(), figures.iter().map(|own| figure_of(own, name)).collect()))
        .collect();
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

fn figure(table: &Table, figures: &[Option<f64>], contender: &str) -> Option<f64> {
    figures[table.columns.iter().position(|name| name == contender)?]
}

/// How many times faster kvm is than ptrace.
fn speed_up(operations: &Table) -> Table {
    let ratio = |figures: &Vec<Option<f64>>| {
        let ptrace = figure(operations, figures, "ptrace");
        ptrace.zip(figure(operations, figures, "kvm")).map(|(ptrace, kvm)| ptrace / kvm)
    };
    Table {
        title: "kvm against ptrace".into(),
        note: "How many times faster an operation is on kvm.".into(),
        columns: vec!["faster".into()],
        unit: "x",
        decimals: 1,
        rows: operations.rows.iter().map(|(name, own)| (name.clone(), vec![ratio(own)])).collect(),
        has_ratios: false,
    }
}

/// The figures of ptrace again, with the least that any system call can cost on it as the unit.
fn stops(operations: &Table) -> Table {
    let stop = sysemu_stop_nanoseconds() as f64;
    let in_stops = |figures: &Vec<Option<f64>>| {
        vec![figure(operations, figures, "ptrace").map(|figure| figure / stop)]
    };
    Table {
        title: "Operations in bare stops".into(),
        note: format!("A PTRACE_SYSEMU stop, tracer and child on one processor, takes {stop} ns."),
        columns: vec!["ptrace".into()],
        unit: "",
        decimals: 2,
        rows: operations.rows.iter().map(|(name, own)| (name.clone(), in_stops(own))).collect(),
        has_ratios: false,
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

/// What the starts of the sandboxes are made of.
fn phases(contenders: &[Contender]) -> Table {
    let platforms: Vec<_> = platforms(contenders).collect();
    let times: Vec<_> =
        platforms.iter().map(|platform| phases::start_phases(platform, 9)).collect();
    let row = |(index, name): (usize, &'static str)| {
        (name.to_owned(), times.iter().map(|own| own[index]).collect())
    };
    Table {
        title: "Phases of a start".into(),
        note:
            "Milliseconds, medians of 9, with a log. The first instruction of the program follows \
               the phase before the last."
                .into(),
        columns: platforms.iter().map(|name| (*name).to_owned()).collect(),
        unit: "ms",
        decimals: 1,
        rows: phases::names().enumerate().map(row).collect(),
        has_ratios: false,
    }
}

/// The platforms among the contenders.
fn platforms(contenders: &[Contender]) -> impl Iterator<Item = &'static str> {
    contenders.iter().filter_map(|contender| match contender {
        Contender::Sandbox(platform) => Some(*platform),
        _ => None,
    })
}

fn memory(contenders: &[Contender]) -> Table {
    let kibibytes = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64 / 1024.0);
    let program = kibibytes(idle_program_bytes());
    let mut columns = vec!["native".to_owned()];
    let (mut all, mut beyond) = (vec![program], vec![None]);
    for platform in platforms(contenders) {
        let sandbox = kibibytes(idle_sandbox_bytes(platform));
        columns.push(platform.to_owned());
        all.push(sandbox);
        beyond.push(sandbox.zip(program).map(|(sandbox, program)| sandbox - program));
    }
    Table {
        title: "Memory".into(),
        note: "Proportional set size of all processes of a shell that waits.".into(),
        columns,
        unit: "KiB",
        decimals: 0,
        rows: vec![("idle".into(), all), ("beyond the program".into(), beyond)],
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

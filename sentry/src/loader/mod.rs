//! The program loader. See README.md.

mod elf;
mod file;
mod map;
mod script;
mod stack;
mod vdso;

use alloc::{sync::Arc, vec, vec::Vec};

use elf::{HEADER_SIZE, Header, Image, PROGRAM_HEADER_SIZE, Segment};
use script::{LOOKAHEAD, Script};
use stack::{Contents, key};

use crate::{
    errno::{Errno, Result},
    kernel::{Credentials, Kernel, signal::minimum_stack_size},
    memory::PAGE_SIZE,
    mm::{MapRequest, MapSource, Mm, UserAddress, VmaFlags},
    platform::{Access, Protection},
    vfs::{OpenFile, Path, WalkContext},
};

pub use file::{open_program, open_program_path, read as read_file};
pub use stack::{MAX_STRING, StringRanges};
pub use vdso::Vdso;

const PAGE: u64 = PAGE_SIZE as u64;
/// Scripts that may interpret scripts.
const MAX_SCRIPTS: usize = 5;
/// Longest name of an interpreter (PATH_MAX).
const MAX_NAME: usize = 4096;
/// Stack mapped at once, besides its initial contents; it grows on demand.
const INITIAL_STACK: u64 = 128 << 10;
/// Random bits of the distance between program and heap, in bytes.
const HEAP_RANDOM: u64 = 32 << 20;

/// A program to load.
pub struct Program {
    /// Its file.
    pub file: Arc<OpenFile>,
    /// The name it was executed by.
    pub name: Vec<u8>,
    /// Arguments.
    pub arguments: Vec<Vec<u8>>,
    /// Environment.
    pub environment: Vec<Vec<u8>>,
    /// Limits of its memory.
    pub limits: crate::mm::Limits,
}

/// A program in memory.
pub struct Loaded {
    /// Its address space.
    pub mm: Arc<Mm>,
    /// First instruction.
    pub entry: u64,
    /// Initial stack pointer.
    pub stack_pointer: u64,
    /// The file that is executed: of a script, its interpreter.
    pub file: Arc<OpenFile>,
    /// Who the program runs as.
    pub credentials: Credentials,
    /// The identity differs from the caller's (AT_SECURE).
    pub is_secure: bool,
    /// Addresses of the argument and environment strings.
    pub strings: StringRanges,
}

/// An image in memory.
struct Mapped {
    bias: u64,
    entry: u64,
    image: Image,
}

impl Mapped {
    /// Maps what is cached of code and constants around where the program begins with them, so that it
    /// need not fault for it. What is not cached is left to faults.
    fn map_early(&self, mm: &Mm) {
        let constant = |segment: &&Segment| !segment.protection.contains(Protection::WRITE);
        for segment in self.image.segments.iter().filter(constant) {
            let start = segment.address.wrapping_add(self.bias);
            let holds_entry =
                (start..start.saturating_add(segment.memory_size)).contains(&self.entry);
            let (address, access) =
                if holds_entry { (self.entry, Access::Execute) } else { (start, Access::Read) };
            let _ = mm.try_fault(address, Some(access));
        }
    }
}

/// Loads `program` on behalf of who `context` says.
///
/// # Errors
/// ENOEXEC if the file is no program, ELIBBAD if its interpreter is none, E2BIG, ELOOP, ENOENT,
/// EACCES, ENOMEM.
pub async fn load(
    context: &WalkContext<'_>,
    directory: &Path,
    mut program: Program,
) -> Result<Loaded> {
    let name = program.name.clone();
    resolve_scripts(context, directory, &mut program).await?;
    let kernel = context.caller.kernel;
    let (credentials, is_secure) = file::credentials_after(context, &program.file).await?;
    let platform = kernel.platform.clone();
    let mm = Mm::new(platform, kernel.frames.clone(), kernel.random.next_u64())?;
    mm.set_limits(program.limits);
    let main = load_main(kernel, &mm, &program.file).await?;
    let interpreter = load_interpreter(context, directory, &mm, &program.file, &main).await?;
    let vdso = kernel.vdso.map(kernel, &mm)?;

    let base = interpreter.as_ref().map_or(0, |image| image.bias);
    let mut contents = Contents {
        arguments: &program.arguments,
        environment: &program.environment,
        file_name: &name,
        random: [0; 16],
        auxiliary: auxiliary_vector(kernel, &main, base, vdso, &credentials, is_secure),
    };
    kernel.random.fill(&mut contents.random);
    contents.check_size(program.limits.stack)?;
    let top = (mm.layout().stack_top & !15).saturating_sub(kernel.random.below(PAGE) & !15);
    let stack = contents.layout(top)?;
    map_stack(&mm, &stack, main.image.executable_stack).await?;
    let heap = map::page_up(main.image.end().saturating_add(main.bias));
    mm.set_heap_start(heap + (kernel.random.below(HEAP_RANDOM) & !(PAGE - 1)));
    let entry = interpreter.as_ref().map_or(main.entry, |image| image.entry);
    [Some(&main), interpreter.as_ref()]
        .into_iter()
        .flatten()
        .for_each(|image| image.map_early(&mm));
    // All programs read it, to find its functions. If this fails, so will the fault.
    let _ = mm.try_fault(vdso, Some(Access::Read));
    Ok(Loaded {
        mm,
        entry,
        stack_pointer: stack.address,
        file: program.file,
        credentials,
        is_secure,
        strings: stack.strings,
    })
}

/// Replaces scripts by their interpreters.
async fn resolve_scripts(
    context: &WalkContext<'_>,
    directory: &Path,
    program: &mut Program,
) -> Result<()> {
    for _ in 0..=MAX_SCRIPTS {
        let mut start = [0; LOOKAHEAD];
        let length = file::read(context.caller.kernel, &program.file, 0, &mut start).await?;
        let start = start.get(..length).unwrap_or_default();
        let Some(script) = Script::parse(start)? else { return Ok(()) };
        let interpreter = script.interpreter.to_vec();
        let mut arguments = vec![interpreter.clone()];
        arguments.extend(script.argument.map(<[u8]>::to_vec));
        arguments.push(core::mem::replace(&mut program.name, interpreter));
        arguments.extend(program.arguments.drain(..).skip(1));
        program.arguments = arguments;
        program.file = open_program(context, directory, &program.name).await?;
    }
    Err(Errno::ELOOP)
}

async fn read_image(kernel: &Kernel, file: &OpenFile, limit: u64) -> Result<(Header, Image)> {
    let mut bytes = [0; HEADER_SIZE];
    if file::read(kernel, file, 0, &mut bytes).await? < HEADER_SIZE {
        return Err(Errno::ENOEXEC);
    }
    let header = Header::parse(&bytes)?;
    let mut table = vec![0; header.table_size];
    if file::read(kernel, file, header.table_offset, &mut table).await? < table.len() {
        return Err(Errno::ENOEXEC);
    }
    Ok((header, Image::parse(&header, &table, limit)?))
}

async fn load_main(kernel: &Kernel, mm: &Arc<Mm>, file: &Arc<OpenFile>) -> Result<Mapped> {
    let limit = mm.address_limit();
    let (header, image) = read_image(kernel, file, limit).await?;
    let bias = if header.is_fixed {
        0
    } else {
        // Two thirds up, as in Linux (ELF_ET_DYN_BASE): away from the heap and from mappings.
        let base = limit / 3 * 2;
        let random = kernel.random.below((limit / 16).min(1 << 40));
        map::place_image(mm, &image, (base + random) & !(PAGE - 1))?
    };
    map::map_image(mm, file, &image, bias).await?;
    Ok(Mapped { bias, entry: header.entry.wrapping_add(bias), image })
}

/// Loads the interpreter (dynamic linker) that `main` names, if any.
async fn load_interpreter(
    context: &WalkContext<'_>,
    directory: &Path,
    mm: &Arc<Mm>,
    program: &OpenFile,
    main: &Mapped,
) -> Result<Option<Mapped>> {
    let Some((offset, length)) = main.image.interpreter else { return Ok(None) };
    if !(2..=MAX_NAME).contains(&length) {
        return Err(Errno::ENOEXEC);
    }
    let kernel = context.caller.kernel;
    let mut name = vec![0; length];
    if file::read(kernel, program, offset, &mut name).await? < length || name.pop() != Some(0) {
        return Err(Errno::ENOEXEC);
    }
    let file = open_program(context, directory, &name).await?;
    let bad = |errno| if errno == Errno::ENOEXEC { Errno::ELIBBAD } else { errno };
    let (header, image) = read_image(kernel, &file, mm.address_limit()).await.map_err(bad)?;
    let bias = if header.is_fixed { 0 } else { map::place_image(mm, &image, 0)? };
    map::map_image(mm, &file, &image, bias).await?;
    Ok(Some(Mapped { bias, entry: header.entry.wrapping_add(bias), image }))
}

async fn map_stack(mm: &Arc<Mm>, stack: &stack::InitialStack, executable: bool) -> Result<()> {
    let top = map::page_up(stack.address + stack.bytes.len() as u64);
    let bottom = stack.address.saturating_sub(INITIAL_STACK) & !(PAGE - 1);
    let mut protection = Protection::READ | Protection::WRITE;
    protection.set(Protection::EXECUTE, executable);
    let request = MapRequest::new(top - bottom, protection, MapSource::Anonymous)
        .fixed(bottom)
        .with_flags(VmaFlags::GROWS_DOWN | VmaFlags::STACK)
        .named("[stack]");
    mm.map(request)?;
    mm.copy_out(UserAddress(stack.address), &stack.bytes).await
}

fn auxiliary_vector(
    kernel: &Kernel,
    main: &Mapped,
    base: u64,
    vdso: u64,
    credentials: &Credentials,
    is_secure: bool,
) -> Vec<(u64, u64)> {
    let headers = main.image.headers_address.unwrap_or(0).wrapping_add(main.bias);
    vec![
        (key::MINSIGSTKSZ, minimum_stack_size(kernel.platform.extended_state_size())),
        (key::HWCAP, processor_features()),
        (key::PAGESZ, PAGE),
        (key::CLKTCK, 100),
        (key::PHDR, headers),
        (key::PHENT, PROGRAM_HEADER_SIZE as u64),
        (key::PHNUM, main.image.header_count),
        (key::BASE, base),
        (key::FLAGS, 0),
        (key::ENTRY, main.entry),
        (key::UID, u64::from(credentials.shown_user(credentials.uid))),
        (key::EUID, u64::from(credentials.shown_user(credentials.effective_uid))),
        (key::GID, u64::from(credentials.shown_group(credentials.gid))),
        (key::EGID, u64::from(credentials.shown_group(credentials.effective_gid))),
        (key::SECURE, u64::from(is_secure)),
        (key::HWCAP2, 0),
        (key::SYSINFO_EHDR, vdso),
    ]
}

/// The feature word of CPUID leaf 1, which AT_HWCAP is on x86.
fn processor_features() -> u64 {
    u64::from(core::arch::x86_64::__cpuid(1).edx)
}

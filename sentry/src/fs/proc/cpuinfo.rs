//! /proc/cpuinfo: what the processor says of itself (CPUID; Intel SDM volume 2, AMD APM volume 3).

use alloc::{format, string::String, vec::Vec};
use core::arch::x86_64::{__cpuid, __cpuid_count, CpuidResult};

use crate::kernel::Kernel;

/// Leaf, subleaf and register of a word of features.
#[derive(Clone, Copy)]
enum Word {
    Edx1,
    Ecx1,
    Ebx7,
    Ecx7,
    EdxExtended,
    EcxExtended,
}

/// Numbers of bits and names of the features as Linux prints them
/// (arch/x86/include/asm/cpufeatures.h), in its order.
const FEATURES: &[(Word, &str)] = &[
    (
        Word::Edx1,
        "0=fpu 1=vme 2=de 3=pse 4=tsc 5=msr 6=pae 7=mce 8=cx8 9=apic 11=sep 12=mtrr \
         13=pge 14=mca 15=cmov 16=pat 17=pse36 19=clflush 23=mmx 24=fxsr 25=sse 26=sse2 \
         27=ss 28=ht",
    ),
    (Word::EdxExtended, "11=syscall 20=nx 22=mmxext 25=fxsr_opt 26=pdpe1gb 27=rdtscp 29=lm"),
    (
        Word::Ecx1,
        "0=pni 1=pclmulqdq 3=monitor 9=ssse3 12=fma 13=cx16 19=sse4_1 20=sse4_2 21=x2apic \
         22=movbe 23=popcnt 25=aes 26=xsave 28=avx 29=f16c 30=rdrand 31=hypervisor",
    ),
    (Word::EcxExtended, "0=lahf_lm 5=abm 6=sse4a 7=misalignsse 8=3dnowprefetch 16=fma4 21=tbm"),
    (
        Word::Ebx7,
        "0=fsgsbase 3=bmi1 5=avx2 7=smep 8=bmi2 9=erms 16=avx512f 17=avx512dq 18=rdseed \
         19=adx 20=smap 21=avx512ifma 23=clflushopt 24=clwb 28=avx512cd 29=sha_ni \
         30=avx512bw 31=avx512vl",
    ),
    (
        Word::Ecx7,
        "1=avx512vbmi 2=umip 6=avx512_vbmi2 8=gfni 9=vaes 10=vpclmulqdq 11=avx512_vnni \
         12=avx512_bitalg 14=avx512_vpopcntdq 22=rdpid",
    ),
];

const EXTENDED: u32 = 0x8000_0000;

/// /proc/cpuinfo.
pub(super) fn cpuinfo(kernel: &Kernel) -> Vec<u8> {
    let count = kernel.platform.executor_count();
    let processor = Processor::new();
    let common = processor.lines();
    let flags = processor.flags();
    let one = |index| {
        format!(
            "processor\t: {index}\n{common}physical id\t: 0\nsiblings\t: {count}\n\
             core id\t\t: {index}\ncpu cores\t: {count}\nfpu\t\t: yes\nfpu_exception\t: yes\n\
             cpuid level\t: {}\nwp\t\t: yes\nflags\t\t: {flags}\n{}\n",
            processor.basic.eax,
            processor.geometry(),
        )
    };
    (0..count).map(one).collect::<String>().into_bytes()
}

struct Processor {
    basic: CpuidResult,
    last_extended: u32,
}

impl Processor {
    fn new() -> Self {
        Self { basic: __cpuid(0), last_extended: __cpuid(EXTENDED).eax }
    }

    /// Leaf `leaf`, if there is such a one.
    fn leaf(&self, leaf: u32) -> Option<CpuidResult> {
        let last = if leaf < EXTENDED { self.basic.eax } else { self.last_extended };
        (leaf <= last).then(|| __cpuid_count(leaf, 0))
    }

    /// From the vendor to the clock rate, where the processor tells it.
    fn lines(&self) -> String {
        let words = [self.basic.ebx, self.basic.edx, self.basic.ecx];
        let vendor: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let vendor = String::from_utf8_lossy(&vendor);
        let (family, model, stepping) = signature(self.leaf(1).map_or(0, |leaf| leaf.eax));
        let name = self.name();
        let mut text = format!(
            "vendor_id\t: {vendor}\ncpu family\t: {family}\nmodel\t\t: {model}\n\
             model name\t: {name}\nstepping\t: {stepping}\n"
        );
        let megahertz = self.leaf(0x16).map_or(0, |leaf| leaf.eax & 0xffff);
        if megahertz != 0 {
            text += &format!("cpu MHz\t\t: {megahertz}.000\n");
        }
        text
    }

    /// The brand string.
    fn name(&self) -> String {
        let leaves = (2..=4).filter_map(|index| self.leaf(EXTENDED + index));
        let words = leaves.flat_map(|leaf| [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx]);
        let bytes: Vec<u8> =
            words.flat_map(u32::to_le_bytes).take_while(|byte| *byte != 0).collect();
        if bytes.is_empty() {
            "unknown".into()
        } else {
            String::from_utf8_lossy(&bytes).trim().into()
        }
    }

    fn flags(&self) -> String {
        let named = FEATURES.iter().flat_map(|(word, names)| {
            let bits = self.word(*word);
            let pairs = names.split(' ').filter_map(|pair| pair.split_once('='));
            pairs.filter(move |(bit, _)| has_bit(bits, bit)).map(|(_, name)| name)
        });
        named.collect::<Vec<_>>().join(" ")
    }

    fn word(&self, word: Word) -> u32 {
        let of = |leaf| self.leaf(leaf);
        match word {
            Word::Edx1 => of(1).map_or(0, |leaf| leaf.edx),
            Word::Ecx1 => of(1).map_or(0, |leaf| leaf.ecx),
            Word::Ebx7 => of(7).map_or(0, |leaf| leaf.ebx),
            Word::Ecx7 => of(7).map_or(0, |leaf| leaf.ecx),
            Word::EdxExtended => of(EXTENDED + 1).map_or(0, |leaf| leaf.edx),
            Word::EcxExtended => of(EXTENDED + 1).map_or(0, |leaf| leaf.ecx),
        }
    }

    /// Sizes of cache lines and addresses.
    fn geometry(&self) -> String {
        let line = self.leaf(1).map_or(0, |leaf| leaf.ebx >> 8 & 0xff) * 8;
        let sizes = self.leaf(EXTENDED + 8).map_or(0, |leaf| leaf.eax);
        let (physical, linear) = (sizes & 0xff, sizes >> 8 & 0xff);
        format!(
            "clflush size\t: {line}\ncache_alignment\t: {line}\n\
             address sizes\t: {physical} bits physical, {linear} bits virtual\npower management:\n"
        )
    }
}

/// Whether `word` has the bit of this number.
fn has_bit(word: u32, number: &str) -> bool {
    number
        .parse()
        .ok()
        .and_then(|number| word.checked_shr(number))
        .is_some_and(|bits| bits & 1 == 1)
}

/// Family, model and stepping in the word that leaf 1 answers.
fn signature(word: u32) -> (u32, u32, u32) {
    let field = |shift: u32, mask: u32| (word >> shift) & mask;
    let (base_family, base_model, stepping) = (field(8, 15), field(4, 15), field(0, 15));
    let family = if base_family == 15 { base_family + field(20, 255) } else { base_family };
    let model = if family >= 6 { base_model + (field(16, 15) << 4) } else { base_model };
    (family, model, stepping)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_taken_apart() {
        // An Intel Skylake server and an AMD Zen 3.
        assert_eq!(signature(0x0005_0654), (6, 85, 4));
        assert_eq!(signature(0x00a2_0f10), (25, 33, 0));
    }

    #[test]
    fn every_x86_64_processor_has_these() {
        let flags = Processor::new().flags();
        for name in ["fpu", "sse2", "syscall", "lm"] {
            assert!(flags.split(' ').any(|flag| flag == name), "{name} is missing in {flags}");
        }
    }
}

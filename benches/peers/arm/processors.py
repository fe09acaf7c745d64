"""The emulated processors, each with the /proc/cpuinfo of the real one: some engines choose their kernels by it, and under
qemu they would read that of the host."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Processor:
    title: str
    qemu: str  # value of -cpu
    macs: int  # int8 multiply-accumulates in one instruction
    variant: str
    part: str
    features: str


BASE = "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"
DOT = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
I8MM = DOT + " jscvt fcma dcpodp sha3 sm3 sm4 sha512 asimdfhm dit uscat ilrcpc flagm sb flagm2 frint i8mm bf16 bti"

PROCESSORS = {
    "a53": Processor("Cortex-A53 (Pi 3, Zero 2 W)", "cortex-a53", 8, "0x0", "0xd03", BASE),
    "a72": Processor("Cortex-A72 (Pi 4)", "cortex-a72", 8, "0x0", "0xd08", BASE),
    "a76": Processor("Cortex-A76 (Pi 5)", "cortex-a76", 16, "0x4", "0xd0b", DOT),
    "i8mm": Processor("i8mm, without SVE", "max,sve=off", 32, "0x2", "0xd47", I8MM),
}


def make_root(home, name, processor):
    """A folder for `qemu-aarch64 -L`: the ARM system in HOME/arm/root with this processor's cpuinfo."""
    folder = home / "arm" / f"root-{name}"
    (folder / "proc").mkdir(parents=True, exist_ok=True)
    for entry in ("lib", "usr", "etc"):
        link = folder / entry
        if not link.is_symlink():
            link.symlink_to(home / "arm/root" / entry)
    block = (
        "processor\t: {i}\nBogoMIPS\t: 108.00\n"
        f"Features\t: {processor.features}\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
        f"CPU variant\t: {processor.variant}\nCPU part\t: {processor.part}\nCPU revision\t: 1\n\n"
    )
    (folder / "proc/cpuinfo").write_text("".join(block.format(i=i) for i in range(4)))
    return folder

//! The tile registers: eight of up to 16 rows by 64 bytes. The compiler knows nothing of them, so what
//! they hold stays from one of these functions to the next.

use core::arch::asm;
use core::arch::x86_64::{__cpuid_count, _xgetbv};

/// Rows of a tile.
pub(super) const ROWS: usize = 16;
/// Bytes of a row: inputs of a product, or 16 sums.
pub(super) const BYTES: usize = 64;

/// Whether the processor has tiles and their products of u8 and i8, and the system knows of them.
pub(super) fn exist() -> bool {
    const TILE_AND_INT8: u32 = 1 << 24 | 1 << 25;
    const OSXSAVE: u32 = 1 << 27;
    const TILE_STATE: u64 = 1 << 17 | 1 << 18;

    #[target_feature(enable = "xsave")]
    fn saved() -> u64 {
        // SAFETY: the caller has looked for OSXSAVE.
        unsafe { _xgetbv(0) }
    }

    __cpuid_count(0, 0).eax >= 7
        && __cpuid_count(7, 0).edx & TILE_AND_INT8 == TILE_AND_INT8
        && __cpuid_count(1, 0).ecx & OSXSAVE != 0
        // SAFETY: OSXSAVE is set, so the instruction exists.
        && unsafe { saved() } & TILE_STATE == TILE_STATE
}

/// Asks Linux to keep the tiles for this process.
#[cfg(target_os = "linux")]
pub(super) fn permission() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
    const TILE_DATA: u64 = 18;
    let mut result = ARCH_PRCTL;
    // SAFETY: a system call that touches no memory of ours.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") TILE_DATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result == 0
}

/// Other systems are not asked.
#[cfg(not(target_os = "linux"))]
pub(super) fn permission() -> bool {
    false
}

/// What the tiles of a thread are: number 0 to 3 for sums, 4 and 5 for weights, 6 and 7 for codes.
#[repr(C, align(64))]
pub(super) struct Shapes {
    palette: u8,
    start: u8,
    reserved: [u8; 14],
    bytes: [u16; 16],
    rows: [u8; 16],
}

impl Shapes {
    /// Sums and codes of `rows` rows, at most [`ROWS`].
    pub(super) fn new(rows: usize) -> Self {
        let mut shapes =
            Self { palette: 1, start: 0, reserved: [0; 14], bytes: [0; 16], rows: [0; 16] };
        for tile in 0..8 {
            shapes.bytes[tile] = BYTES as u16;
            shapes.rows[tile] = if matches!(tile, 4 | 5) { ROWS } else { rows } as u8;
        }
        shapes
    }

    /// # Safety
    /// The processor and the system have tiles.
    #[inline(always)]
    pub(super) unsafe fn load(&self) {
        // SAFETY: the caller's promise; 64 bytes are read.
        unsafe { asm!("ldtilecfg [{}]", in(reg) self, options(nostack, readonly)) };
    }
}

/// Gives the tiles back: a thread without any is switched faster.
///
/// # Safety
/// The processor and the system have tiles.
#[inline(always)]
pub(super) unsafe fn release() {
    // SAFETY: the caller's promise.
    unsafe { asm!("tilerelease", options(nostack, nomem)) };
}

/// Sets the sums to zero.
///
/// # Safety
/// [`Shapes::load`] came before.
#[inline(always)]
pub(super) unsafe fn zero() {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            options(nostack, nomem),
        );
    }
}

/// Adds the products of `A` tiles of codes and `W` tiles of weights, each one piece of memory: tile
/// 2 i + j holds the sums of codes i and weights j.
///
/// # Safety
/// [`Shapes::load`] came before; its rows can be read from `a` and [`ROWS`] from `w`.
#[inline(always)]
pub(super) unsafe fn multiply_add<const A: usize, const W: usize>(
    a: [*const u8; 2],
    w: [*const i8; 2],
) {
    macro_rules! code {
        ($($line:literal)*) => {
            asm!(
                $($line,)*
                "/* {a1} {w1} */",
                a0 = in(reg) a[0],
                a1 = in(reg) a[1],
                w0 = in(reg) w[0],
                w1 = in(reg) w[1],
                row = in(reg) BYTES,
                options(nostack, readonly),
            )
        };
    }
    // SAFETY: the caller's promise.
    unsafe {
        match (A, W) {
            (2, 2) => code!(
                "tileloadd tmm4, [{w0} + {row}]"
                "tileloadd tmm6, [{a0} + {row}]"
                "tdpbusd tmm0, tmm6, tmm4"
                "tileloadd tmm7, [{a1} + {row}]"
                "tdpbusd tmm2, tmm7, tmm4"
                "tileloadd tmm5, [{w1} + {row}]"
                "tdpbusd tmm1, tmm6, tmm5"
                "tdpbusd tmm3, tmm7, tmm5"
            ),
            (2, 1) => code!(
                "tileloadd tmm4, [{w0} + {row}]"
                "tileloadd tmm6, [{a0} + {row}]"
                "tdpbusd tmm0, tmm6, tmm4"
                "tileloadd tmm7, [{a1} + {row}]"
                "tdpbusd tmm2, tmm7, tmm4"
            ),
            (1, 2) => code!(
                "tileloadd tmm6, [{a0} + {row}]"
                "tileloadd tmm4, [{w0} + {row}]"
                "tdpbusd tmm0, tmm6, tmm4"
                "tileloadd tmm5, [{w1} + {row}]"
                "tdpbusd tmm1, tmm6, tmm5"
            ),
            _ => code!(
                "tileloadd tmm6, [{a0} + {row}]"
                "tileloadd tmm4, [{w0} + {row}]"
                "tdpbusd tmm0, tmm6, tmm4"
            ),
        }
    }
}

/// Stores the sums of [`multiply_add`].
///
/// # Safety
/// [`Shapes::load`] came before.
#[inline(always)]
pub(super) unsafe fn store<const A: usize, const W: usize>(sums: &mut [[[i32; ROWS]; ROWS]; 4]) {
    // SAFETY: the caller's promise; a tile has at most ROWS rows.
    unsafe {
        let (at, row) = (sums.as_mut_ptr(), BYTES);
        asm!("tilestored [{at} + {row}], tmm0", at = in(reg) at, row = in(reg) row, options(nostack));
        if W == 2 {
            let at = at.add(1);
            asm!("tilestored [{at} + {row}], tmm1", at = in(reg) at, row = in(reg) row, options(nostack));
        }
        if A == 2 {
            let at = at.add(2);
            asm!("tilestored [{at} + {row}], tmm2", at = in(reg) at, row = in(reg) row, options(nostack));
        }
        if A == 2 && W == 2 {
            let at = at.add(3);
            asm!("tilestored [{at} + {row}], tmm3", at = in(reg) at, row = in(reg) row, options(nostack));
        }
    }
}

/// Four products of whole tiles, on registers; returns how many multiplications that are.
///
/// # Safety
/// [`Shapes::load`] came before, with [`ROWS`] rows.
#[inline(always)]
pub(super) unsafe fn multiply_add_registers() -> usize {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "tdpbusd tmm0, tmm6, tmm4",
            "tdpbusd tmm1, tmm6, tmm5",
            "tdpbusd tmm2, tmm7, tmm4",
            "tdpbusd tmm3, tmm7, tmm5",
            options(nostack, nomem),
        );
    }
    4 * ROWS * ROWS * BYTES
}

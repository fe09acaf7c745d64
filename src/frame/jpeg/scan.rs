//! Entropy-coded scans: sequential ones go to samples at once, progressive ones gather
//! coefficients (ITU-T T.81, annexes F and G).

use super::huffman::{Bits, Table};
use super::{Component, Fault, Tables, idct};

/// Natural place of each coefficient of the zigzag order.
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

fn place(k: usize) -> usize {
    usize::from(ZIGZAG[k & 63])
}

/// What a scan header says.
#[derive(Debug)]
pub(super) struct Scan {
    /// Component, its DC and its AC table.
    pub(super) parts: heapless::Vec<(usize, usize, usize), 4>,
    /// First and last coefficient.
    pub(super) band: (usize, usize),
    /// Successive approximation: the bit before (0 in a first scan) and the bit now.
    pub(super) bits: (u32, u32),
    pub(super) progressive: bool,
    /// MCUs between restart markers, 0 for none.
    pub(super) restart: usize,
    /// Size of the picture in MCUs.
    pub(super) mcus: (usize, usize),
}

/// What a decoder carries from block to block.
#[derive(Default)]
struct State {
    dc: [i32; 4],
    /// Blocks that are known to have nothing more in this band.
    end_of_band: u32,
}

impl Scan {
    /// Decodes the scan's data, which begins at `at`; says where it ends.
    pub(super) fn run(
        &self,
        bytes: &[u8],
        at: usize,
        tables: &Tables,
        components: &mut [Component],
    ) -> Result<usize, Fault> {
        let mut bits = Bits::new(bytes, at);
        let mut state = State::default();
        // A scan of one component walks over its own blocks, without the MCUs' padding.
        let alone = self.parts.len() == 1;
        let (across, down) = match self.parts.first() {
            Some(&(component, ..)) if alone => components[component].blocks,
            _ => self.mcus,
        };
        let mut until_restart = self.restart;
        for y in 0..down {
            for x in 0..across {
                if self.restart > 0 {
                    if until_restart == 0 {
                        bits.restart()?;
                        state = State::default();
                        until_restart = self.restart;
                    }
                    until_restart -= 1;
                }
                for &(index, dc, ac) in &self.parts {
                    let component = &mut components[index];
                    let (h, v) = if alone { (1, 1) } else { component.sampling };
                    for (by, bx) in (0..v).flat_map(|by| (0..h).map(move |bx| (by, bx))) {
                        let at = (x * h + bx, y * v + by);
                        self.block(&mut bits, &mut state, index, (dc, ac), tables, component, at)?;
                    }
                }
            }
            bits.check()?;
        }
        Ok(bits.marker())
    }

    #[expect(clippy::too_many_arguments, reason = "the inner step of one loop")]
    fn block(
        &self,
        bits: &mut Bits,
        state: &mut State,
        index: usize,
        (dc, ac): (usize, usize),
        tables: &Tables,
        component: &mut Component,
        at: (usize, usize),
    ) -> Result<(), Fault> {
        let dc_table = || tables.dc[dc].as_ref().ok_or(NO_TABLE);
        let ac_table = || tables.ac[ac].as_ref().ok_or(NO_TABLE);
        let predicted = &mut state.dc[index];
        if !self.progressive {
            let mut block = [0; 64];
            sequential(bits, dc_table()?, ac_table()?, predicted, &mut block)?;
            let stride = component.stride;
            let start = at.1 * 8 * stride + at.0 * 8;
            idct::block(&block, &component.quant, &mut component.samples[start..], stride);
            return Ok(());
        }
        let block = component.coefficients_mut(at);
        match (self.band.0, self.bits) {
            (0, (0, low)) => {
                *predicted += dc_difference(bits, dc_table()?)?;
                block[0] = (*predicted << low) as i16;
            }
            (0, (_, low)) => block[0] |= (bits.take(1) << low) as i16,
            (_, (0, low)) => {
                band_first(bits, ac_table()?, self.band, low, &mut state.end_of_band, block)?;
            }
            (_, (_, low)) => {
                band_again(bits, ac_table()?, self.band, low, &mut state.end_of_band, block)?;
            }
        }
        Ok(())
    }
}

const NO_TABLE: Fault = Fault::Damaged("a Huffman table is missing");
const BAD_RUN: Fault = Fault::Damaged("its data runs over the end of a block");

fn dc_difference(bits: &mut Bits, table: &Table) -> Result<i32, Fault> {
    match bits.symbol(table)? {
        size @ 0..=15 => Ok(bits.signed(u32::from(size))),
        _ => Err(Fault::Damaged("its data holds an impossible brightness")),
    }
}

fn sequential(
    bits: &mut Bits,
    dc: &Table,
    ac: &Table,
    predicted: &mut i32,
    block: &mut [i16; 64],
) -> Result<(), Fault> {
    *predicted = predicted.wrapping_add(dc_difference(bits, dc)?);
    block[0] = *predicted as i16;
    let mut k = 1;
    while k < 64 {
        let symbol = bits.symbol(ac)?;
        let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
        if size == 0 {
            if run < 15 {
                break;
            }
            k += 16;
            continue;
        }
        k += run;
        if k > 63 {
            return Err(BAD_RUN);
        }
        block[place(k)] = bits.signed(size) as i16;
        k += 1;
    }
    Ok(())
}

/// A band's first scan.
fn band_first(
    bits: &mut Bits,
    table: &Table,
    (first, last): (usize, usize),
    low: u32,
    end_of_band: &mut u32,
    block: &mut [i16; 64],
) -> Result<(), Fault> {
    if *end_of_band > 0 {
        *end_of_band -= 1;
        return Ok(());
    }
    let mut k = first;
    while k <= last {
        let symbol = bits.symbol(table)?;
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        if size == 0 {
            if run < 15 {
                *end_of_band = (1 << run) - 1 + bits.take(run) as u32;
                break;
            }
            k += 16;
            continue;
        }
        k += run as usize;
        if k > 63 {
            return Err(BAD_RUN);
        }
        block[place(k)] = (bits.signed(size) << low) as i16;
        k += 1;
    }
    Ok(())
}

/// A band's later scans: one more bit of each coefficient that is there, and new ones of size 1.
fn band_again(
    bits: &mut Bits,
    table: &Table,
    (first, last): (usize, usize),
    low: u32,
    end_of_band: &mut u32,
    block: &mut [i16; 64],
) -> Result<(), Fault> {
    let one = 1i16 << low;
    let refine = |bits: &mut Bits, value: &mut i16| {
        if bits.take(1) == 1 && *value & one == 0 {
            *value = value.wrapping_add(if *value >= 0 { one } else { -one });
        }
    };
    let mut k = first;
    if *end_of_band == 0 {
        while k <= last {
            let symbol = bits.symbol(table)?;
            let (mut run, size) = (symbol >> 4, symbol & 15);
            let new = match size {
                0 if run < 15 => {
                    *end_of_band = (1 << run) + bits.take(u32::from(run)) as u32;
                    break;
                }
                0 => 0,
                _ if bits.take(1) == 1 => one,
                _ => -one,
            };
            // Over `run` coefficients that are still zero, to the next of them.
            while k <= last {
                let value = &mut block[place(k)];
                if *value != 0 {
                    refine(bits, value);
                } else if run == 0 {
                    break;
                } else {
                    run -= 1;
                }
                k += 1;
            }
            if new != 0 {
                if k > last {
                    return Err(BAD_RUN);
                }
                block[place(k)] = new;
            }
            k += 1;
        }
    }
    if *end_of_band > 0 {
        for k in k..=last {
            let value = &mut block[place(k)];
            if *value != 0 {
                refine(bits, value);
            }
        }
        *end_of_band -= 1;
    }
    Ok(())
}

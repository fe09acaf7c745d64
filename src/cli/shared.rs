//! The options that every command takes.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::asset::{Asset, AssetFile};
use crate::encoder::MAX_THREADS;
use crate::fit::matrix::Workers;
use crate::kernels::{self, Isa, Kernels};

/// Options of every command.
#[derive(Args)]
#[command(next_help_heading = "Program")]
pub(super) struct Shared {
    /// The file with encoder, classes and shots to use [default: the one inside this program]
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) asset: Option<PathBuf>,

    /// How to print the answer [default: json for classify, watch and eval, table for the others]
    #[arg(long, global = true, value_enum)]
    format: Option<Format>,

    /// Processor threads for the encoder [default: as many as the processor has, at most 4]
    #[arg(long, global = true, value_name = "N", env = "TIPCAM_THREADS", hide_env = true,
          value_parser = clap::value_parser!(u16).range(1..=MAX_THREADS as i64))]
    threads: Option<u16>,

    /// Instruction set of the inner loops; all give the same answers
    #[arg(long, global = true, value_enum, env = kernels::FORCE, default_value_t = Kernel::Auto)]
    kernel: Kernel,
}

/// How answers are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Columns for people
    Table,
    /// One JSON object a line for programs
    Json,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kernel {
    /// The best one that this processor has
    Auto,
    /// Plain code, for comparison
    Scalar,
    Avx2,
    Avxvnni,
    Avx512,
    Amx,
    Neon,
    Dotprod,
    I8mm,
}

impl Shared {
    /// The format asked for, or else the command's own.
    pub(super) fn format_or(&self, default: Format) -> Format {
        self.format.unwrap_or(default)
    }

    /// The asset asked for.
    pub(super) fn asset_file(&self) -> Result<AssetFile> {
        match &self.asset {
            Some(path) => Ok(AssetFile::open(path)?),
            None => AssetFile::linked()?.context(
                "this program was built without an asset: give one with --asset FILE (`tipcam build` \
                 makes one)",
            ),
        }
    }

    /// The views of `file`, after a look at its checksums and values: a damaged asset must not
    /// give answers that only look right.
    pub(super) fn asset<'a>(&self, file: &'a AssetFile) -> Result<Asset<'a>> {
        let asset = file.asset()?;
        // what is part of the program is as whole as the program
        if self.asset.is_some() {
            let sound = asset.container.verify().and_then(|()| asset.validate());
            sound.map_err(|error| file.error(error))?;
        }
        Ok(asset)
    }

    /// Threads for the encoder.
    pub(super) fn threads(&self) -> usize {
        match self.threads {
            Some(threads) => threads.into(),
            // beyond four threads a small encoder's layers are too short to share
            None => std::thread::available_parallelism().map_or(1, |n| n.get().min(4)),
        }
    }

    /// What makes heads.
    pub(super) fn workers(&self) -> Result<Workers> {
        Ok(Workers { kernels: self.kernels()?, threads: self.threads() })
    }

    /// The kernels asked for; an error where the processor lacks them.
    pub(super) fn kernels(&self) -> Result<&'static Kernels> {
        let isa = match self.kernel {
            Kernel::Auto => return Ok(kernels::best()),
            Kernel::Scalar => Isa::Scalar,
            Kernel::Avx2 => Isa::Avx2,
            Kernel::Avxvnni => Isa::AvxVnni,
            Kernel::Avx512 => Isa::Avx512,
            Kernel::Amx => Isa::Amx,
            Kernel::Neon => Isa::Neon,
            Kernel::Dotprod => Isa::Dotprod,
            Kernel::I8mm => Isa::I8mm,
        };
        match isa.kernels() {
            Some(kernels) => Ok(kernels),
            None => bail!(
                "--kernel {}: this processor does not have it; it has {} (leave --kernel out to use \
                 the best one)",
                isa.name(),
                kernels::available().map(Kernels::name).collect::<Vec<_>>().join(", ")
            ),
        }
    }
}

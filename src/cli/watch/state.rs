//! Where what is learned is kept, and which asset it belongs to.

use std::path::PathBuf;
use std::thread;

use anyhow::Result;
use clap::Args;

use crate::asset::AssetFile;
use crate::cli::shared::Shared;
use crate::cli::{complain, note};
use crate::fit::owned_projector;
use crate::frame::Frame;
use crate::state::{Begun, Options, PublicKey, Slots, Store};
use crate::watch::{Event, Sink};

/// Frames that a newly installed asset must answer before it is trusted.
const TRIAL: u64 = 100;

#[derive(Args)]
#[command(next_help_heading = "State")]
pub(super) struct Memory {
    /// The folder in which what is learned is kept, and installed assets are [default: none, what is
    /// learned is lost at the end]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,

    /// The minisign key, or its file, that assets must be signed with
    #[arg(long, value_name = "KEY|FILE")]
    public_key: Option<String>,
}

/// The asset to work with and what was learned on top of it.
pub(super) struct Opened {
    pub(super) file: AssetFile,
    pub(super) store: Store,
    /// Confirms an asset that is on trial, after enough frames.
    pub(super) trial: Option<Trial>,
}

impl Memory {
    /// The folder, where one was given.
    pub(super) fn folder(&self) -> Option<&PathBuf> {
        self.state.as_ref()
    }

    /// Opens the asset that is to be used: the installed one, else that of --asset or of this program.
    pub(super) fn open(&self, shared: &Shared) -> Result<Opened> {
        let key = self.public_key.as_deref().map(PublicKey::given).transpose()?;
        let (mut installed, mut trial) = (None, None);
        if let Some(dir) = &self.state {
            let mut slots = Slots::new(dir);
            let begun = slots.begin()?;
            begun.notes.iter().for_each(|text| note(text));
            installed = begun.file.clone();
            if begun.on_trial {
                trial = Some(Trial { left: TRIAL, slots: Some((slots, begun)) });
            }
        }
        let file = match installed {
            Some(file) => file,
            None => {
                let file = shared.asset_file()?;
                if let (Some(key), Some(path)) = (&key, &shared.asset) {
                    key.verify(path, file.bytes())?;
                }
                shared.asset(&file)?;
                file
            }
        };
        let project = owned_projector(&file, shared.kernels()?)?;
        let (options, workers) = (Options::default(), shared.workers()?);
        let store = match &self.state {
            Some(dir) => Store::open(file.clone(), dir, options, project, workers)?,
            None => Store::in_memory(file.clone(), options, project, workers)?,
        };
        store.notes().iter().for_each(|text| note(text));
        Ok(Opened { file, store, trial })
    }
}

/// Counts the frames that an asset on trial answers.
pub(super) struct Trial {
    left: u64,
    slots: Option<(Slots, Begun)>,
}

impl Sink for Trial {
    fn frame(&mut self, _: &Frame, _: &Event) {
        self.left = self.left.saturating_sub(1);
        if self.left > 0 {
            return;
        }
        let Some((mut slots, begun)) = self.slots.take() else { return };
        // it writes to the disk, for which no frame shall wait
        let confirm = move || match slots.confirm(&begun) {
            Ok(true) => note("the new asset has answered well and is kept"),
            Ok(false) => {}
            Err(error) => complain(&error.into()),
        };
        if let Err(error) = thread::Builder::new().name("confirm".to_owned()).spawn(confirm) {
            complain(&anyhow::Error::from(error).context("confirming the new asset"));
        }
    }
}

//! `tipcam install`: a new asset for a camera that runs, on trial until it has proved itself.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::Outcome;
use super::shared::{Format, Shared};
use crate::asset::AssetFile;
use crate::frame::{DEMO_PHOTOGRAPH, Decoder, Frame};
use crate::pipeline::{Answer, Classifier};
use crate::state::{PublicKey, Slots};

/// Install a new asset beside the one in use, on trial from the next start on
#[derive(Args)]
#[command(after_help = "\
Examples:
  tipcam install new.tipcam --state /var/lib/tipcam
  tipcam install new.tipcam --state /var/lib/tipcam --public-key minisign.pub

The asset is looked at from its first byte to its last, and has to answer a photograph on this machine. It
takes the one of two slots that is not in use; a program that runs goes on with the other. When the new
asset has been started three times without proving itself, the one before it is taken again. With a public
key FILE.minisig has to be beside FILE: `minisign -Sm FILE` makes it.")]
pub(super) struct Install {
    /// The new asset
    file: PathBuf,

    /// The directory that `watch` keeps its state in
    #[arg(long, value_name = "DIR", env = "TIPCAM_STATE")]
    state: PathBuf,

    /// Whose assets are trusted: a minisign key, or the file that has it [default: everybody's]
    #[arg(long, value_name = "KEY|FILE", env = "TIPCAM_PUBLIC_KEY")]
    public_key: Option<String>,
}

impl Install {
    pub(super) fn run(self, shared: &Shared) -> Result<Outcome> {
        let key = self.public_key.as_deref().map(PublicKey::given).transpose()?;
        let answers =
            |file: &AssetFile| answers(file, shared).map_err(|error| format!("{error:#}"));
        let slot = Slots::new(&self.state).install(&self.file, key.as_ref(), &answers)?;
        let place = self.state.join(slot.file());
        let (file, place) = (self.file.to_string_lossy(), place.to_string_lossy());
        let text = match shared.format_or(Format::Table) {
            Format::Json => {
                let signed = key.is_some();
                format!(
                    "{}\n",
                    json!({"v": crate::report::SCHEMA, "file": file, "installed": place, "signed": signed})
                )
            }
            Format::Table => {
                format!("{file}: installed as {place}, on trial from the next start on\n")
            }
        };
        super::print(&text)?;
        Ok(Outcome::Done)
    }
}

/// Whether the asset answers the bundled photograph.
fn answers(file: &AssetFile, shared: &Shared) -> Result<()> {
    let mut classifier = Classifier::new(file, shared.kernels()?, shared.threads())?;
    let mut frame = Frame::new();
    Decoder::default().decode("the bundled photograph", DEMO_PHOTOGRAPH, &mut frame)?;
    Ok(classifier.answer(&frame, 1, &mut Answer::default())?)
}

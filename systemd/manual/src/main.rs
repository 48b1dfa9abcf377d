//! `aesync-manual DIRECTORY`: writes the man pages there.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;

/// Write the man pages of aesyncd.
#[derive(Debug, Parser)]
struct Args {
    /// Where to write them; it is made if it is not there
    directory: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let Args { directory } = Args::parse();
    std::fs::create_dir_all(&directory).with_context(|| format!("making the directory {}", directory.display()))?;
    for page in aesync_manual::pages()? {
        let path = directory.join(page.file);
        std::fs::write(&path, page.text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

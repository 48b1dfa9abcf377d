//! The few calls by which the store changes files of its own, in one place: what a power cut may leave of them is tested by
//! what is recorded here.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// Notes what was done, for tests alone.
macro_rules! record {
    ($op:expr) => {
        #[cfg(test)]
        recorder::record(|| $op);
    };
}

/// A file that is written and synced.
#[derive(Debug)]
pub(super) struct Output {
    path: PathBuf,
    file: File,
    /// Where the next write goes, in bytes.
    at: u64,
}

impl Output {
    /// An empty file, in the place of whatever has the name.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let file = File::create(path)?;
        record!(recorder::Op::Create(path.to_path_buf()));
        Ok(Self { path: path.to_path_buf(), file, at: 0 })
    }

    /// A file that is there, to be written from `at` on. Its length stays.
    pub(super) fn open(path: &Path, at: u64) -> io::Result<Self> {
        Ok(Self { path: path.to_path_buf(), file: OpenOptions::new().write(true).open(path)?, at })
    }

    /// Where the next write goes, in bytes.
    pub(super) const fn position(&self) -> u64 {
        self.at
    }

    /// Writes all of it, not yet durably. After an error the position is what it was.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.at))?;
        self.file.write_all(bytes)?;
        record!(recorder::Op::Write(self.path.clone(), self.at, bytes.to_vec()));
        self.at = self.at.saturating_add(bytes.len() as u64);
        Ok(())
    }

    /// Writes zeros from where the next write goes on, not yet durably, and goes on writing where it was.
    pub(super) fn fill(&mut self, length: usize) -> io::Result<()> {
        let zeros = vec![0; length];
        self.file.seek(SeekFrom::Start(self.at))?;
        self.file.write_all(&zeros)?;
        record!(recorder::Op::Write(self.path.clone(), self.at, zeros));
        Ok(())
    }

    /// Cuts the file off at `end`, and goes on writing there.
    pub(super) fn cut(&mut self, end: u64) -> io::Result<()> {
        self.file.set_len(end)?;
        record!(recorder::Op::Cut(self.path.clone(), end));
        self.at = end;
        Ok(())
    }

    /// Makes the content durable, and the length that it needs.
    pub(super) fn sync(&self) -> io::Result<()> {
        #[cfg(test)]
        gate::pass(&self.path);
        self.file.sync_data()?;
        record!(recorder::Op::Sync(self.path.clone()));
        Ok(())
    }

    /// Gives the file another name, in the place of whatever has it. Durable with [`sync_dir`].
    pub(super) fn rename(&mut self, to: &Path) -> io::Result<()> {
        fs::rename(&self.path, to)?;
        record!(recorder::Op::Rename(self.path.clone(), to.to_path_buf()));
        self.path = to.to_path_buf();
        Ok(())
    }
}

/// A file that is read at any place, by any thread.
#[derive(Debug)]
pub(super) struct Input(File);

impl Input {
    /// A file that is there.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        File::open(path).map(Self)
    }

    /// So many bytes from a place on; none when the file ends before.
    pub(super) fn read(&self, at: u64, length: u32) -> io::Result<Option<Vec<u8>>> {
        /// Of more is first looked whether they are there: a damaged length must not reserve memory.
        const SURE: usize = 64 * 1024;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > SURE && at.checked_add(length as u64).is_none_or(|end| self.0.metadata().is_ok_and(|file| file.len() < end)) {
            return Ok(None);
        }
        let mut bytes = vec![0; length];
        match self.fill(at, &mut bytes) {
            Ok(()) => Ok(Some(bytes)),
            // A place that no file can have is refused.
            Err(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput) => Ok(None),
            Err(error) => Err(error),
        }
    }

    #[cfg(unix)]
    fn fill(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.0, bytes, at)
    }

    #[cfg(windows)]
    fn fill(&self, mut at: u64, mut bytes: &mut [u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let read = std::os::windows::fs::FileExt::seek_read(&self.0, bytes, at)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            at = at.saturating_add(read as u64);
            bytes = bytes.get_mut(read..).unwrap_or_default();
        }
        Ok(())
    }
}

/// Removes a file. Durable with [`sync_dir`].
pub(super) fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    record!(recorder::Op::Remove(path.to_path_buf()));
    Ok(())
}

/// Bytes that are left for this process where `path` is; none where that can't be told, as on file systems that count nothing.
pub(super) fn free(path: &Path) -> Option<u64> {
    #[cfg(test)]
    if gate::is_full(path) {
        return Some(0);
    }
    #[cfg(unix)]
    return nix::sys::statvfs::statvfs(path).ok().filter(|found| found.blocks() > 0).map(|found| {
        // Their types differ from system to system.
        #[allow(clippy::useless_conversion, reason = "both are u64 on some")]
        u64::from(found.blocks_available()).saturating_mul(u64::from(found.fragment_size()))
    });
    #[cfg(not(unix))]
    path.metadata().ok().and(None)
}

/// Opens a file of sled's to make it durable. Windows syncs only what may be written to.
pub(super) fn open_to_sync(path: &Path) -> io::Result<File> {
    File::options().write(true).open(path)
}

/// Makes a directory's entries durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    #[cfg(test)]
    gate::ask(dir, gate::Call::SyncDir)?;
    // Windows has no documented way to do that; NTFS writes its names to a journal of its own.
    #[cfg(not(windows))]
    File::open(dir)?.sync_all()?;
    #[cfg(windows)]
    dir.metadata()?;
    record!(recorder::Op::SyncDir);
    Ok(())
}

/// Notes that sled's files in `dir` are durable as they are.
pub(super) fn database_synced(_dir: &Path) {
    record!(recorder::Op::Database(recorder::Image::of(_dir)));
}

/// Notes what sled's files in `dir` are like before they change.
pub(super) fn database_changes(_dir: &Path) {
    record!(recorder::Op::Seen(recorder::Image::of(_dir)));
}

#[cfg(test)]
pub(super) mod gate;
#[cfg(test)]
pub(super) mod recorder;

//! Directories that nobody else can have put there or look into.
//!
//! One that is there already is taken only if it is this user's own, no symbolic link, and not
//! everybody's to write to: else somebody else could have put it there first, to read what goes
//! in or to lead writes elsewhere.

use std::fs::{DirBuilder, Permissions, symlink_metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use nix::unistd::geteuid;

/// Makes a root directory, and what is missing above it.
pub(super) fn make_root(root: &Path) -> io::Result<()> {
    if let Some(parent) = root.parent() {
        make_parents(parent)?;
    }
    make(root)
}

/// Makes a job's directory in its engine's root, and that, if need be.
pub(crate) fn make_job_directory(directory: &Path) -> io::Result<()> {
    if let Some(root) = directory.parent() {
        make_root(root)?;
    }
    make(directory)?;
    // One that was there may have been opened up; what is in it is one job's.
    let mode = symlink_metadata(directory)?.mode();
    if mode & 0o077 != 0 {
        std::fs::set_permissions(directory, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Makes directories for files that users named. Those that are there are the user's affair.
pub(super) fn make_parents(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|error| about(directory, "cannot be made", &error))
}

fn make(directory: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => check(directory),
        Err(error) => Err(about(directory, "cannot be made", &error)),
    }
}

fn check(directory: &Path) -> io::Result<()> {
    let found = symlink_metadata(directory)?;
    let own = geteuid().as_raw();
    let why = if found.file_type().is_symlink() {
        "it is a symbolic link".to_owned()
    } else if !found.is_dir() {
        "it is no directory".to_owned()
    } else if found.uid() != own {
        format!("it belongs to user {}, not to user {own}", found.uid())
    } else if found.mode() & 0o002 != 0 {
        "everybody may write to it".to_owned()
    } else {
        return Ok(());
    };
    let text = format!("the cache directory {} is refused: {why}", directory.display());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
}

/// The error, with the path that it is about.
pub(super) fn about(path: &Path, what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{} {what}: {error}", path.display()))
}

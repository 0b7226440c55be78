//! Memory that several processes share: an array of atomics, each on a cache line of its own.

use std::ffi::c_void;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::sys::stat::fstat;
use nix::unistd::ftruncate;

/// The distance between two atomics.
const STRIDE: usize = 64;

/// A mapping of the shared array.
///
/// Everybody who has it may write anything into it at any time; only atomics may be read from
/// it, and their values not be trusted.
#[derive(Debug)]
pub(crate) struct Page {
    base: NonNull<c_void>,
    slots: usize,
}

// SAFETY: the mapping belongs to no thread, and only atomics are reached through it.
unsafe impl Send for Page {}
// SAFETY: as above.
unsafe impl Sync for Page {}

impl Page {
    /// A new array of zeroes, and the file to map it from in another process.
    pub(crate) fn create(slots: usize) -> io::Result<(Self, OwnedFd)> {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let file = memfd_create(c"executor-engine", flags)?;
        ftruncate(&file, libc::off_t::try_from(slots * STRIDE).unwrap_or(libc::off_t::MAX))?;
        // Nobody can make it shorter, which would turn reads of it into SIGBUS.
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
        Ok((Self::map(&file, slots)?, file))
    }

    /// Maps the array from its file.
    pub(crate) fn map(file: impl AsFd, slots: usize) -> io::Result<Self> {
        let file = file.as_fd();
        let (Some(length), true) = (
            slots.checked_mul(STRIDE).and_then(NonZeroUsize::new),
            fcntl(file, FcntlArg::F_GET_SEALS)? & SealFlag::F_SEAL_SHRINK.bits() != 0,
        ) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        if usize::try_from(fstat(file)?.st_size).unwrap_or(0) < length.get() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address that the kernel chooses touches no other memory.
        // The file is at least that long and, being sealed, stays so.
        let base = unsafe { mmap(None, length, access, MapFlags::MAP_SHARED, file, 0) }?;
        Ok(Self { base, slots })
    }

    /// One of them.
    pub(crate) fn slot(&self, index: usize) -> Option<&AtomicU64> {
        if index >= self.slots {
            return None;
        }
        // SAFETY: the mapping holds `slots` strides and lives as long as `self`; the address is
        // aligned to 64 bytes, since mappings are aligned to pages. Memory that other processes
        // change at will may be accessed through atomics.
        Some(unsafe { self.base.byte_add(index * STRIDE).cast::<AtomicU64>().as_ref() })
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `map` with this length, and references into it borrow
        // from `self`.
        let _ = unsafe { munmap(self.base, self.slots * STRIDE) };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn two_mappings_are_one_memory() {
        let (ours, file) = Page::create(3).unwrap();
        let theirs = Page::map(&file, 3).unwrap();
        ours.slot(2).unwrap().store(7, Ordering::SeqCst);
        assert_eq!(theirs.slot(2).unwrap().load(Ordering::SeqCst), 7);
        assert_eq!(theirs.slot(1).unwrap().load(Ordering::SeqCst), 0);
        assert!(ours.slot(3).is_none());
    }

    #[test]
    fn a_file_that_is_too_short_or_can_shrink_is_refused() {
        let (_, file) = Page::create(1).unwrap();
        assert!(Page::map(&file, 2).is_err());
        assert!(Page::map(&file, 0).is_err());
        assert!(ftruncate(&file, 0).is_err());
        let loose = memfd_create(c"loose", MFdFlags::MFD_CLOEXEC).unwrap();
        ftruncate(&loose, 4096).unwrap();
        assert!(Page::map(&loose, 1).is_err());
    }
}

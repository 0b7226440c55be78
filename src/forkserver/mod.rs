//! stub
pub(crate) fn token_present() -> bool {
    false
}

//! Why a file of outputs, or a record of it, is not used.

/// Why a file of outputs, or one of its records, cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CacheFault {
    /// Another kind of file.
    #[error("it is no file of teacher outputs")]
    Magic,
    /// Another version of the format.
    #[error("it has version {got} of the format, expected {expected}")]
    Version {
        /// The file's.
        got: u32,
        /// This program's.
        expected: u32,
    },
    /// A head that cannot be read.
    #[error("its header is damaged: {problem}")]
    Header {
        /// What is wrong with it.
        problem: String,
    },
    /// A file that was cut off, or goes on.
    #[error("it has {got} bytes, expected {expected}")]
    Length {
        /// The file's length.
        got: u64,
        /// What its key asks for.
        expected: u64,
    },
    /// The outputs of another teacher, or for other pictures.
    #[error("it was made for {what}: `{got}`, expected `{expected}`")]
    Other {
        /// What differs.
        what: &'static str,
        /// As the file has it.
        got: String,
        /// As it is needed.
        expected: String,
    },
    /// A record whose bytes are not what was written.
    #[error("its record of picture {picture}, view {view}, is damaged")]
    Record {
        /// The picture's number.
        picture: usize,
        /// The view.
        view: usize,
    },
    /// A record of a picture that has changed.
    #[error("picture {picture}, view {view}, is not the one that the teacher saw")]
    Picture {
        /// The picture's number.
        picture: usize,
        /// The view.
        view: usize,
    },
}

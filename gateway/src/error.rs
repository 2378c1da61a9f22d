//! Why the gateway does not start.

use crate::template::TemplateError;

/// An annotation of the contract, or an option, that the gateway cannot follow.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The path of an annotation is no template.
    #[error("{method}: {source}")]
    Template {
        /// The method's full name.
        method: String,
        /// What is wrong with the template.
        source: TemplateError,
    },
    /// An annotation names what there is not, or cannot be followed.
    #[error("{method}: {problem}")]
    Annotation {
        /// The method's full name.
        method: String,
        /// What is wrong.
        problem: String,
    },
    /// Two annotations answer the same requests.
    #[error("{method} and {other} both answer {http_method} {template}")]
    Ambiguous {
        /// The method's full name.
        method: String,
        /// The full name of the method that was there before.
        other: String,
        /// `GET`, `POST`, …
        http_method: http::Method,
        /// The path, without names of variables.
        template: String,
    },
    /// An address of an upstream or an origin of CORS that is none.
    #[error("option {option}: {problem}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

//! Progress on a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar that counts positions, with the time that is left. Nothing is drawn where there is no terminal.
pub fn positions() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} positions, {per_sec}, {eta} left");
    ProgressBar::new(0).with_style(style.expect("a template of ours"))
}

/// The same of series.
pub fn series() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} series, {eta} left");
    ProgressBar::new(0).with_style(style.expect("a template of ours"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_templates_are_some() {
        assert_eq!(super::positions().position() + super::series().position(), 0);
    }
}

//! The command line.

use crate::commands::Command;
use crate::options::Options;
use clap::Parser;
use std::sync::LazyLock;

static VERSION: LazyLock<String> =
    LazyLock::new(|| format!("{} ({})", env!("CARGO_PKG_VERSION"), finescale_training::COMMIT));

/// Paints the fine scales into cosmological volumes with a conditional 3-D diffusion model
#[derive(Debug, Parser)]
#[command(name = "finescale", version = VERSION.as_str())]
#[command(arg_required_else_help = true, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}

//! The command `recurrent`.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    recurrent::cli::main()
}

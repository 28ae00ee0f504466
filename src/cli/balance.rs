use super::Done;

#[derive(clap::Args, Default)]
pub(super) struct BalanceArgs {}

pub(super) async fn run(_: BalanceArgs) -> Done {
    Ok(std::process::ExitCode::SUCCESS)
}

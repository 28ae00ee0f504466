use super::Done;

#[derive(clap::Args, Default)]
pub(super) struct DemoArgs {}

pub(super) async fn run(_: DemoArgs) -> Done {
    Ok(std::process::ExitCode::SUCCESS)
}

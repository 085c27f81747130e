#include "cli/main.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <thread>

#include "app/config.h"
#include "app/server.h"
#include "app/version.h"

namespace leadsman {
namespace {

ConfigOverrides OverridesOf(const cli::ServeFlags& flags) {
  ConfigOverrides overrides;
  overrides.address = flags.address;
  overrides.port = flags.port;
  overrides.grpc_port = flags.grpc_port;
  overrides.admin_address = flags.admin_address;
  overrides.admin_port = flags.admin_port;
  overrides.tls_cert = flags.tls_cert;
  overrides.tls_key = flags.tls_key;
  overrides.tls_client_ca = flags.tls_client_ca;
  overrides.data_dir = flags.data_dir;
  overrides.plugin_dirs = flags.plugin_dirs;
  overrides.runtime_dirs = flags.runtime_dirs;
  overrides.log_level = flags.log_level;
  overrides.log_format = flags.log_format;
  overrides.reload_config = flags.reload_config;
  overrides.models = flags.models;
  overrides.model_repository = flags.model_repository;
  return overrides;
}

/// The file, then the flags over it; once at the start and again at every reload.
Result<Config> LoadConfig(const cli::ServeFlags& flags) {
  Config config = ConfigSchema().initial();
  if (!flags.config.empty()) {
    ASSIGN_OR_RETURN(config, LoadConfigFile(flags.config));
  }
  RETURN_IF_ERROR(ApplyOverrides(OverridesOf(flags), config));
  RETURN_IF_ERROR(CheckHasModels(config));
  return config;
}

int Serve(const cli::ServeFlags& flags) {
  Result<Config> config = LoadConfig(flags);
  if (!config.ok()) {
    std::cerr << config.status().message() << '\n';
    return cli::kUsage;
  }
  if (flags.check_config) {
    std::cout << "configuration ok\n";
    return cli::kOk;
  }
  return RunServer(
      std::move(*config), [flags] { return LoadConfig(flags); }, flags.config);
}

int TerminalColumns() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 100;
  return std::max<int>(size.ws_col, 40);
}

int Run(int argc, char** argv) {
  // A pipe that closes early (| head) is an error of a write, not a reason to
  // die loudly.
  std::signal(SIGPIPE, SIG_IGN);
  cli::AppHooks hooks;
  hooks.version = kLeadsmanVersion;
  hooks.serve = Serve;
  hooks.check_config = [](const std::string& file) {
    Result<Config> config = LoadConfigFile(file);
    return config.ok() ? Annotate(CheckHasModels(*config), file) : config.status();
  };
  hooks.config_reference = [](bool json_schema) {
    return json_schema ? ConfigJsonSchema() : ConfigReferencePage();
  };
  hooks.metrics_reference = MetricsReferencePage;
  cli::Environment environment{.out = std::cout, .err = std::cerr, .in = std::cin};
  environment.terminal = isatty(STDOUT_FILENO) != 0;
  environment.columns = TerminalColumns();
  environment.getenv = [](const std::string& name) {
    const char* value = std::getenv(name.c_str());
    return std::string(value ? value : "");
  };
  environment.make_client = [](std::shared_ptr<const net::TlsClient> tls) {
    return net::MakeHttpClient(std::move(tls));
  };
  environment.wait = [](std::chrono::milliseconds time) {
    std::this_thread::sleep_for(time);
    return std::cout.good();
  };
  return cli::Main(argc, argv, hooks, environment);
}

}  // namespace
}  // namespace leadsman

int main(int argc, char** argv) { return leadsman::Run(argc, argv); }

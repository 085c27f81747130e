#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "app/config.h"
#include "app/server.h"
#include "base/status.h"

namespace leadsman::tfserving {

/// The command line of tensorflow_model_server: its flags as they stand in people's manifests, and
/// beside them Leadsman's own that do not collide (--admin-port, --data-dir, …). Both --flag=value
/// and --flag value are taken; of two values the last counts.

/// What was asked for, checked word by word but not yet as a whole.
struct CommandLine {
  bool help = false;
  bool version = false;
  bool check_config = false;
  std::map<std::string, std::string> values;  ///< flag without dashes → value; booleans as "true"
  ConfigOverrides overrides;                  ///< Leadsman's own flags
};

/// `args` without the program's name. INVALID_ARGUMENT names the flag and what to do: unknown, not
/// of its type, or one that cannot be honoured, with what to use instead.
Result<CommandLine> ParseCommandLine(const std::vector<std::string>& args);

/// True when `word` is a flag of tensorflow_model_server that `leadsman serve` does not know itself:
/// then the whole command line is read as of that program ("--model_name=m").
bool IsTensorFlowServingFlag(std::string_view word);

/// What the image's entry point makes of its environment and its arguments:
/// --port=8500 --rest_api_port=8501 --model_name=$MODEL_NAME
/// --model_base_path=$MODEL_BASE_PATH/$MODEL_NAME (model, /models), then the arguments.
std::vector<std::string> EntrypointArguments(
    const std::vector<std::string>& args,
    const std::function<std::string(const std::string& name)>& getenv);

/// Reads the files that the flags name and puts all together. `warnings`: one line for each flag
/// that is accepted and does nothing here, with the reason. INVALID_ARGUMENT or NOT_FOUND names the
/// flag or the file. Blocks for the files.
Result<Config> ConfigFrom(const CommandLine& command, std::vector<std::string>& warnings);

/// What a running server does about changes: --model_config_file_poll_wait_seconds and
/// --(force_)allow_(any_)version_labels_for_unavailable_models; models that a client sends start as those of the command line do.
ReloadOptions ReloadOptionsOf(const CommandLine& command);
/// The file that is followed; empty: none.
std::string WatchedFileOf(const CommandLine& command);

/// The settings of a version whose files are in `directory`: where its model is to be batched as these say
/// (--enable_per_model_batching_parameters), with what its batching_params.pbtxt has, without that file not batched. An error
/// names the file. Blocks for it; thread-safe.
Result<std::shared_ptr<const ModelConfig>> WithBatchingOfVersion(
    std::shared_ptr<const ModelConfig> model, const std::string& directory);

/// --help.
std::string HelpText();

}  // namespace leadsman::tfserving

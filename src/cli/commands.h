#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "cli/api_client.h"
#include "cli/main.h"
#include "cli/table.h"

namespace leadsman::cli {

/// What every command that talks to a server has.
struct ClientContext {
  Environment& env;
  ApiClient& api;
  Paint paint;
  bool json = false;

  /// Says why the latest call failed; returns its exit code.
  int Fail() const;
  void PrintJson(const Json& json) const;
};

// Each carries out one command and returns its exit code.
int ShowStatus(ClientContext& c);
int ShowModels(ClientContext& c, const std::string& model);
int SetModelLabel(ClientContext& c, const std::string& model, const std::string& label,
                  int64_t version);
int ShowConfig(ClientContext& c);
/// `version` below 0: all of the model.
int ShowDrift(ClientContext& c, const std::string& model, int64_t version);
int ShowQuality(ClientContext& c, const std::string& model, int64_t version, bool by_segment);
int ResetDrift(ClientContext& c, const std::string& model, int64_t version);

int ListRollouts(ClientContext& c, const std::string& model);
int ShowRollout(ClientContext& c, const std::string& id);
int ShowRolloutHistory(ClientContext& c, const std::string& id);
/// `verb`: pause, resume, promote or abort. `full`, of promote: to the end.
int CommandRollout(ClientContext& c, const std::string& id, const std::string& verb, bool full);
/// Of a model: its newest one that was rolled back or aborted.
int RetryRollout(ClientContext& c, const std::string& id);
/// Of a model: its newest one that was promoted.
int UndoRollout(ClientContext& c, const std::string& id);
/// `plan`: as JSON, instead of the model's; empty: the model's.
int StartRollout(ClientContext& c, const std::string& model, int64_t version,
                 const std::string& plan);

/// The user that the environment names; containers and units often have none.
std::string WhoAsks(const Environment& env);
/// What `leadsman monitor --once` found: a table, or the JSON as it is.
int ShowLogsOnce(Environment& env, const Result<std::string>& report, const Paint& paint,
                 bool json);

/// What a replay of the past said of the detectors: a table, or the JSON as it is.
int ShowQuiet(Environment& env, const Result<std::string>& report, const Paint& paint, bool json);

struct WatchOptions {
  std::chrono::milliseconds interval{500};
  bool until_held = false;
  int64_t version = 0;  ///< above 0: of the model, the rollout to this version, which may begin yet
};
int WatchRollout(ClientContext& c, const std::string& id, const WatchOptions& options);

struct LabelsOptions {
  std::string request_id, label;
  uint32_t row = 0;
  std::string file;    ///< "-": standard input
  std::string format;  ///< "jsonl" or "csv"; empty: by the file's name
};
int AddLabels(ClientContext& c, const LabelsOptions& options);

/// The number of a rollout given as a number or as a model's name (its newest); nothing when there is none, and then
/// the reason has been said and `exit_code` set.
std::optional<int64_t> ResolveRollout(ClientContext& c, const std::string& id, int& exit_code);

/// "10%", or of a step that mirrors "mirror 10%".
std::string ShareAndMirror(const Json& json, const char* share = "share");
/// Whether a tick of a rollout has copies.
bool HasCopies(const Json& ticks);
/// Copies of some ticks, for a row.
struct CopySums {
  double answered = 0, failed = 0, compared = 0, differing = 0;
  void Add(const Json& tick);
  void AppendTo(std::vector<std::string>& row) const;
};

/// The lines of one rollout with its evidence.
std::string RolloutPicture(const Json& rollout, const Paint& paint, int columns);

}  // namespace leadsman::cli

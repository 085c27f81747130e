#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "base/strings.h"
#include "base/wire.h"
#include "protocol/v2/repository.h"
#include "protocol/v2/statistics_json.h"
#include "rpc/model_config_message.h"
#include "rpc/services.h"

// Triton's extensions of inference.GRPCInferenceService: statistics, configuration, model repository.

namespace leadsman::rpc {
namespace {

Status Malformed() { return InvalidArgumentError("malformed protocol buffer message"); }

void AppendDuration(WireWriter& out, uint32_t field, const DurationStatistic& statistic) {
  out.Message(field, [&](WireWriter& duration) {
    duration.NumberOrNothing(1, statistic.count);
    duration.NumberOrNothing(2, statistic.ns);
  });
}

void AppendStatistics(WireWriter& out, const ModelStatistics& s) {
  out.Text(1, s.model);
  out.Text(2, std::to_string(s.version));
  out.NumberOrNothing(3, static_cast<uint64_t>(s.last_inference_unix_ms));
  out.NumberOrNothing(4, s.inference_count);
  out.NumberOrNothing(5, s.execution_count);
  out.Message(6, [&](WireWriter& stats) {
    AppendDuration(stats, 1, s.success);
    AppendDuration(stats, 2, s.fail);
    AppendDuration(stats, 3, s.queue);
    AppendDuration(stats, 4, s.compute_input);
    AppendDuration(stats, 5, s.compute_infer);
    AppendDuration(stats, 6, s.compute_output);
    // There is no cache of answers.
    AppendDuration(stats, 7, {});
    AppendDuration(stats, 8, {});
  });
  for (const BatchStatistics& batch : s.batches) {
    out.Message(7, [&](WireWriter& entry) {
      entry.NumberOrNothing(1, batch.batch_size);
      AppendDuration(entry, 2, batch.compute_input);
      AppendDuration(entry, 3, batch.compute_infer);
      AppendDuration(entry, 4, batch.compute_output);
    });
  }
}

Status CheckRepositoryName(std::string_view name) {
  if (name.empty()) return OkStatus();
  return UnimplementedError(
      "'repository_name' is not supported: there is one repository, leave it empty");
}

}  // namespace

Status ModelStatisticsOf(const ServiceContext& context, std::string_view request,
                         std::string& response) {
  ModelSelector selector;
  RETURN_IF_ERROR(ParseModelRequest(request, selector));
  if (!selector.model.empty()) {
    Result<Handle> handle = context.predictor.Find(selector);
    if (!handle.ok()) return handle.status();
  }
  WireWriter out(response);
  for (const ModelStatistics& statistics :
       v2::StatisticsOfReady(*context.predictor.lifecycle().table().Get(),
                             context.predictor.Statistics(selector.model, selector.version),
                             selector.model, selector.version)) {
    out.Message(1, [&](WireWriter& one) { AppendStatistics(one, statistics); });
  }
  return OkStatus();
}

Status ModelConfigOf(const ServiceContext& context, std::string_view request,
                     std::string& response) {
  ModelSelector selector;
  RETURN_IF_ERROR(ParseModelRequest(request, selector));
  Result<Handle> handle = context.predictor.Find(selector);
  if (!handle.ok()) return handle.status();
  WireWriter out(response);
  out.Message(1, [&](WireWriter& config) { AppendModelConfig(config, **handle); });
  return OkStatus();
}

Status RepositoryIndex(const ServiceContext& context, std::string_view request,
                       std::string& response) {
  bool only_ready = false;
  WireReader in(request);
  while (in.Next()) {
    if (in.Is(1, WireReader::kBytes)) RETURN_IF_ERROR(CheckRepositoryName(in.bytes()));
    if (in.Is(2, WireReader::kVarint)) only_ready = in.varint() != 0;
  }
  if (!in.ok()) return Malformed();
  WireWriter out(response);
  const std::vector<ModelStatus> models =
      context.models.index ? context.models.index() : context.predictor.lifecycle().GetStatus();
  for (const ModelStatus& model : models) {
    if (model.versions.empty() && !only_ready) {
      out.Message(1, [&](WireWriter& entry) {
        entry.Text(1, model.name);
        entry.Text(4, model.note);
      });
    }
    for (const VersionStatus& version : model.versions) {
      if (only_ready && version.state != VersionState::kReady) continue;
      out.Message(1, [&](WireWriter& entry) {
        entry.Text(1, model.name);
        entry.Text(2, std::to_string(version.version));
        entry.Text(3, v2::RepositoryStateName(version.state));
        entry.Text(4, v2::RepositoryReason(version));
      });
    }
  }
  return OkStatus();
}

Status NotByRequest() {
  return UnavailableError(
      "explicit model load / unload is not allowed if polling is enabled: versions are loaded as "
      "the server's "
      "configuration says");
}

namespace {

/// One entry of a load's parameters: the key, and the wire field of its ModelRepositoryParameter's value.
Status TakeParameter(std::string_view key, std::string_view parameter, GivenModel* given) {
  constexpr std::string_view kFile = "file:";
  if (key == "unload_dependents") return OkStatus();  // no model of this server depends on another
  const std::string shown = StrCat("parameters.", CutUtf8(key, 64));
  const bool file = key.starts_with(kFile);
  if (given == nullptr || (key != "config" && !file)) {
    return InvalidArgumentError(StrCat(
        shown,
        " is not known; a load takes config and file:<path>, an unload takes unload_dependents"));
  }
  std::optional<std::string> value;
  WireReader in(parameter);
  while (in.Next()) {
    if (in.Is(file ? 4 : 3, WireReader::kBytes)) value = in.bytes();
  }
  if (!in.ok()) return Malformed();
  if (!value) {
    return InvalidArgumentError(StrCat(shown, file ? " must be the file's bytes (bytes_param)"
                                                   : " must be a text (string_param)"));
  }
  if (file) {
    given->files[std::string(key.substr(kFile.size()))] = std::move(*value);
  } else {
    given->config = std::move(value);
  }
  return OkStatus();
}

}  // namespace

Result<std::string> ParseRepositoryRequest(std::string_view request, GivenModel* given) {
  std::string model;
  WireReader in(request);
  while (in.Next()) {
    if (in.Is(1, WireReader::kBytes)) RETURN_IF_ERROR(CheckRepositoryName(in.bytes()));
    if (in.Is(2, WireReader::kBytes)) model = in.bytes();
    if (!in.Is(3, WireReader::kBytes)) continue;
    std::string_view key, parameter;
    WireReader entry(in.bytes());
    while (entry.Next()) {
      if (entry.Is(1, WireReader::kBytes)) key = entry.bytes();
      if (entry.Is(2, WireReader::kBytes)) parameter = entry.bytes();
    }
    if (!entry.ok()) return Malformed();
    RETURN_IF_ERROR(TakeParameter(key, parameter, given));
  }
  if (!in.ok()) return Malformed();
  if (model.empty()) return InvalidArgumentError("'model_name' is missing");
  return model;
}

Status RepositoryModelUnload(const ServiceContext& context, std::string_view request,
                             std::string& /*response*/) {
  Result<std::string> model = ParseRepositoryRequest(request, nullptr);
  if (!model.ok()) return model.status();
  if (!context.models.unload) return NotByRequest();
  return context.models.unload(*model);
}

}  // namespace leadsman::rpc

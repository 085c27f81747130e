#include "protocol/v2/repository.h"

#include "base/base64.h"
#include "base/strings.h"
#include "protocol/json_cursor.h"

namespace leadsman::v2 {
namespace {

void AppendText(std::string& out, std::string_view key, std::string_view text) {
  out += StrCat(",\"", key, "\":");
  AppendJsonString(out, text);
}

}  // namespace

std::string_view RepositoryStateName(VersionState state) {
  switch (state) {
    case VersionState::kReady:
      return "READY";
    case VersionState::kNew:
    case VersionState::kFetching:
    case VersionState::kVerifying:
    case VersionState::kLoading:
    case VersionState::kWarming:
      return "LOADING";
    case VersionState::kDraining:
    case VersionState::kUnloading:
      return "UNLOADING";
    case VersionState::kGone:
    case VersionState::kFailed:
      break;
  }
  return "UNAVAILABLE";
}

std::string_view RepositoryReason(const VersionStatus& version) {
  if (!version.status.ok()) return version.status.message();
  return version.state == VersionState::kGone ? "unloaded" : "";
}

Status ReadIndexRequest(std::string_view body, bool& only_ready) {
  only_ready = false;
  if (Trim(body).empty()) return OkStatus();
  JsonCursor json(body);
  bool ok = json.Object([&](std::string_view key) {
    if (key != "ready") return json.Skip();
    if (json.Peek() == JsonCursor::Kind::kBool) return json.Bool(only_ready);
    return json.Fail(InvalidArgumentError("'ready' must be true or false"));
  });
  return ok && json.End() ? OkStatus() : json.error();
}

void AppendIndex(std::string& out, std::span<const ModelStatus> models, bool only_ready) {
  out += '[';
  bool first = true;
  auto begin = [&](const ModelStatus& model) {
    out += first ? "{\"name\":" : ",{\"name\":";
    first = false;
    AppendJsonString(out, model.name);
  };
  for (const ModelStatus& model : models) {
    if (model.versions.empty() && !only_ready) {
      begin(model);
      if (!model.note.empty()) AppendText(out, "reason", model.note);
      out += '}';
    }
    for (const VersionStatus& version : model.versions) {
      if (only_ready && version.state != VersionState::kReady) continue;
      begin(model);
      AppendText(out, "version", std::to_string(version.version));
      AppendText(out, "state", RepositoryStateName(version.state));
      std::string_view reason = RepositoryReason(version);
      if (!reason.empty()) AppendText(out, "reason", reason);
      out += '}';
    }
  }
  out += ']';
}

Status ReadLoadRequest(std::string_view body, GivenModel* given) {
  if (Trim(body).empty()) return OkStatus();
  constexpr std::string_view kFile = "file:";
  JsonCursor json(body);
  auto text = [&](const std::string& shown, std::string_view& value, std::string& scratch) {
    if (json.Peek() == JsonCursor::Kind::kString) return json.String(value, scratch);
    return json.Fail(InvalidArgumentError(StrCat(shown, " must be a text")));
  };
  auto parameter = [&](std::string_view key) {
    const std::string shown = StrCat("parameters.", CutUtf8(key, 64));
    std::string_view value;
    std::string scratch;
    if (given != nullptr && key == "config") {
      if (!text(shown, value, scratch)) return false;
      given->config = value;
      return true;
    }
    if (given != nullptr && key.starts_with(kFile)) {
      std::string& content = given->files[std::string(key.substr(kFile.size()))];
      if (!text(shown, value, scratch)) return false;
      if (DecodeBase64(value, content)) return true;
      return json.Fail(InvalidArgumentError(StrCat(shown, " must be the file in base64")));
    }
    if (key == "unload_dependents") {
      // No model of this server depends on another one.
      bool ignored = false;
      if (json.Peek() == JsonCursor::Kind::kBool) return json.Bool(ignored);
      return json.Fail(
          InvalidArgumentError("'parameters.unload_dependents' must be true or false"));
    }
    return json.Fail(InvalidArgumentError(StrCat(
        shown,
        " is not known; a load takes config and file:<path>, an unload takes unload_dependents")));
  };
  bool ok = json.Object([&](std::string_view key) {
    if (key != "parameters") return json.Skip();
    if (json.Peek() == JsonCursor::Kind::kObject) return json.Object(parameter);
    return json.Fail(InvalidArgumentError("'parameters' must be an object"));
  });
  return ok && json.End() ? OkStatus() : json.error();
}

}  // namespace leadsman::v2

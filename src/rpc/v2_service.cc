#include <algorithm>

#include "base/strings.h"
#include "base/wire.h"
#include "protocol/v2/model_config.h"
#include "rpc/services.h"

// inference.GRPCInferenceService, but for the infer calls.

namespace leadsman::rpc {
namespace {

constexpr size_t kShownName = 64;

Status Malformed() { return InvalidArgumentError("malformed protocol buffer message"); }

void AppendSpecs(WireWriter& out, uint32_t field, const std::vector<TensorSpec>& specs) {
  for (const TensorSpec& spec : specs) {
    out.Message(field, [&](WireWriter& tensor) {
      tensor.Text(1, spec.name);
      tensor.Bytes(2, DataTypeName(spec.type));
      if (spec.shape.rank() == 0) return;
      tensor.Message(3, [&](WireWriter& packed) {
        for (int64_t dim : spec.shape.dims()) packed.Varint(static_cast<uint64_t>(dim));
      });
    });
  }
}

}  // namespace

Status ParseModelRequest(std::string_view request, ModelSelector& selector) {
  std::string_view version;
  WireReader in(request);
  while (in.Next()) {
    if (in.Is(1, WireReader::kBytes)) selector.model = in.bytes();
    if (in.Is(2, WireReader::kBytes)) version = in.bytes();
  }
  if (!in.ok()) return Malformed();
  if (version.empty()) return OkStatus();
  if (std::all_of(version.begin(), version.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    selector.version = ParseInt64(version);
  }
  if (selector.version) return OkStatus();
  return InvalidArgumentError(StrCat("failed to get model version from '",
                                     CutUtf8(version, kShownName),
                                     "': 'version' is a whole number, or empty"));
}

Result<std::string_view> ModelOfV2Request(std::string_view request) {
  ModelSelector selector;
  RETURN_IF_ERROR(ParseModelRequest(request, selector));
  return selector.model;
}

Status ServerLive(const ServiceContext& /*context*/, std::string_view /*request*/,
                  std::string& response) {
  WireWriter(response).Number(1, 1);
  return OkStatus();
}

Status ServerReady(const ServiceContext& context, std::string_view /*request*/,
                   std::string& response) {
  WireWriter(response).NumberOrNothing(1, context.ready() ? 1 : 0);
  return OkStatus();
}

Status ModelReady(const ServiceContext& context, std::string_view request, std::string& response) {
  ModelSelector selector;
  RETURN_IF_ERROR(ParseModelRequest(request, selector));
  // As Triton: a model that is not there is not ready either.
  WireWriter(response).NumberOrNothing(1, context.predictor.Find(selector).ok() ? 1 : 0);
  return OkStatus();
}

Status ServerMetadata(const ServiceContext& context, std::string_view /*request*/,
                      std::string& response) {
  WireWriter out(response);
  out.Bytes(1, "leadsman");
  out.Text(2, context.server_version);
  for (std::string_view extension :
       {"classification", "model_repository", "model_repository(unload_dependents)",
        "schedule_policy", "model_configuration", "parameters", "statistics"}) {
    out.Bytes(3, extension);
  }
  return OkStatus();
}

Status ModelMetadata(const ServiceContext& context, std::string_view request,
                     std::string& response) {
  ModelSelector selector;
  RETURN_IF_ERROR(ParseModelRequest(request, selector));
  Result<Handle> handle = context.predictor.Find(selector);
  if (!handle.ok()) return handle.status();
  const ServableVersion& version = **handle;
  WireWriter out(response);
  out.Text(1, version.model_name);
  std::shared_ptr<const ServableTable> table = context.predictor.lifecycle().table().Get();
  auto model = table->models.find(version.model_name);
  if (model != table->models.end()) {
    for (const auto& [number, ready] : model->second.ready) out.Bytes(2, std::to_string(number));
  }
  out.Bytes(3, v2::PlatformOf(version));
  AppendSpecs(out, 4, version.model->signature().inputs);
  AppendSpecs(out, 5, version.model->signature().outputs);
  return OkStatus();
}

}  // namespace leadsman::rpc

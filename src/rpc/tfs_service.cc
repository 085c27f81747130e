#include <algorithm>

#include "base/strings.h"
#include "base/wire.h"
#include "rpc/services.h"
#include "rpc/tensor_proto.h"
#include "rpc/tfs_predict.h"

// tensorflow.serving.PredictionService and ModelService, but for the calls that predict.

namespace leadsman::rpc {
namespace {

constexpr size_t kShownName = 64;
constexpr size_t kMaxMetrics = 1000;

void AppendTensorInfos(WireWriter& out, uint32_t field, const std::vector<TensorSpec>& specs) {
  for (const TensorSpec& spec : specs) {
    out.Message(field, [&](WireWriter& entry) {
      entry.Bytes(1, spec.name);
      entry.Message(2, [&](WireWriter& info) {
        info.Text(1, spec.name);
        info.Number(2, TensorFlowTypeNumber(spec.type));
        info.Message(3, [&](WireWriter& shape) {
          if (spec.any_rank) return shape.Number(3, 1);
          AppendShapeProto(shape, spec.shape);
        });
      });
    });
  }
}

void AppendSignature(WireWriter& map, std::string_view name, const Signature& signature,
                     std::string_view method) {
  map.Message(1, [&](WireWriter& entry) {
    entry.Bytes(1, name);
    entry.Message(2, [&](WireWriter& definition) {
      AppendTensorInfos(definition, 1, signature.inputs);
      AppendTensorInfos(definition, 2, signature.outputs);
      definition.Bytes(3, method);
    });
  });
}

/// ModelVersionStatus.State
uint64_t StateNumber(VersionState state) {
  switch (state) {
    case VersionState::kNew:
      return 10;
    case VersionState::kFetching:
    case VersionState::kVerifying:
    case VersionState::kLoading:
    case VersionState::kWarming:
      return 20;
    case VersionState::kReady:
      return 30;
    case VersionState::kDraining:
    case VersionState::kUnloading:
      return 40;
    case VersionState::kGone:
    case VersionState::kFailed:
      return 50;
  }
  return 0;
}

Status ParseSpec(std::string_view request, ModelSpec& spec) {
  std::string_view bytes;
  WireReader in(request);
  while (in.Next()) {
    if (in.Is(1, WireReader::kBytes)) bytes = in.bytes();
  }
  if (!in.ok()) return InvalidArgumentError("malformed protocol buffer message");
  return spec.Parse(bytes);
}

}  // namespace

Result<std::string_view> ModelOfTfServingRequest(std::string_view request) {
  ModelSpec spec;
  RETURN_IF_ERROR(ParseSpec(request, spec));
  return spec.selector.model;
}

Status GetModelMetadata(const ServiceContext& context, std::string_view request,
                        std::string& response) {
  ModelSpec spec;
  RETURN_IF_ERROR(ParseSpec(request, spec));
  bool any = false;
  WireReader in(request);
  while (in.Next()) {
    if (!in.Is(2, WireReader::kBytes)) continue;
    any = true;
    if (in.bytes() != "signature_def") {
      return InvalidArgumentError(
          StrCat("Metadata field ", CutUtf8(in.bytes(), kShownName),
                 " is not supported; 'metadata_field' can be \"signature_def\""));
    }
  }
  if (!any) {
    return InvalidArgumentError(
        "GetModelMetadataRequest must specify at least one metadata_field; there is "
        "\"signature_def\"");
  }
  Result<Handle> handle = context.predictor.Find(spec.selector);
  if (!handle.ok()) return handle.status();
  WireWriter out(response);
  AppendModelSpec(out, 1, (*handle)->model_name, (*handle)->version, "");
  out.Message(2, [&](WireWriter& entry) {
    entry.Bytes(1, "signature_def");
    entry.Message(2, [&](WireWriter& any_message) {
      any_message.Bytes(1, "type.googleapis.com/tensorflow.serving.SignatureDefMap");
      any_message.Message(2, [&](WireWriter& map) {
        for (const NamedSignature& named : (*handle)->model->signatures()) {
          AppendSignature(map, named.name, named.signature, named.method);
        }
      });
    });
  });
  return OkStatus();
}

Status GetModelStatus(const ServiceContext& context, std::string_view request,
                      std::string& response) {
  ModelSpec spec;
  RETURN_IF_ERROR(ParseSpec(request, spec));
  Result<ModelStatus> model =
      context.predictor.lifecycle().GetStatus(std::string(spec.selector.model));
  std::optional<int64_t> only = spec.selector.version;
  if (!model.ok() || !spec.selector.label.empty()) {
    // For an unknown model, Find says it better: with the names of the models that are here.
    Result<Handle> handle = context.predictor.Find(spec.selector);
    if (!handle.ok()) return handle.status();
    if (!model.ok()) return model.status();
    only = (*handle)->version;
  }
  WireWriter out(response);
  bool any = false;
  for (auto it = model->versions.rbegin(); it != model->versions.rend(); ++it) {
    if (only && it->version != *only) continue;
    any = true;
    const bool failed = it->state == VersionState::kFailed;
    out.Message(1, [&](WireWriter& status) {
      status.Number(1, static_cast<uint64_t>(it->version));
      status.Number(2, StateNumber(it->state));
      status.Message(3, [&](WireWriter& proto) {
        if (!failed) return;
        proto.Number(1, static_cast<uint64_t>(it->status.code()));
        proto.Text(2, it->status.message());
      });
    });
  }
  if (any) return OkStatus();
  std::string note = only ? NoteAbout(*model, *only) : model->note;
  return NotFoundError(StrCat("Could not find ",
                              only ? StrCat("version ", *only, " of model ", model->name)
                                   : StrCat("any versions of model ", model->name),
                              note.empty() ? "" : "; ", note));
}

Result<ReloadRequest> ReloadRequest::Parse(std::string_view request) {
  ReloadRequest parsed;
  WireReader in(request);
  while (in.Next()) {
    // A message that comes in several pieces is what they are one behind the other.
    if (in.Is(1, WireReader::kBytes)) parsed.config += in.bytes();
    if (!in.Is(2, WireReader::kBytes)) continue;
    if (parsed.metric_names.size() == kMaxMetrics) {
      return InvalidArgumentError(StrCat("'metric_names' has more than ", kMaxMetrics, " entries"));
    }
    if (!IsUtf8(in.bytes())) return InvalidArgumentError("'metric_names' must be UTF-8");
    parsed.metric_names.emplace_back(in.bytes());
  }
  if (!in.ok()) return InvalidArgumentError("malformed protocol buffer message");
  return parsed;
}

void AppendReloadResponse(const ReloadRequest& request, const std::vector<int64_t>& increases,
                          std::string& response) {
  WireWriter out(response);
  out.Message(1, [](WireWriter&) {});  // OK
  for (size_t i = 0; i < request.metric_names.size(); ++i) {
    out.Message(2, [&](WireWriter& metric) {
      metric.Text(1, request.metric_names[i]);
      metric.Number(2, static_cast<uint64_t>(increases[i]));
    });
  }
}

}  // namespace leadsman::rpc

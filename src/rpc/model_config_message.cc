#include "rpc/model_config_message.h"

#include "base/strings.h"
#include "protocol/v2/model_config.h"

namespace leadsman::rpc {
namespace {

constexpr uint64_t kKindCpu = 2;

/// inference.DataType, which has our numbers.
uint64_t TypeNumber(DataType type) { return static_cast<uint64_t>(type); }

void AppendDims(WireWriter& out, uint32_t field, const Shape& shape) {
  if (shape.rank() == 0) return;
  out.Message(field, [&](WireWriter& packed) {
    for (int64_t dim : shape.dims()) packed.Varint(static_cast<uint64_t>(dim));
  });
}

void AppendReshape(WireWriter& out, const std::optional<Shape>& reshape) {
  if (reshape) out.Message(5, [&](WireWriter& message) { AppendDims(message, 1, *reshape); });
}

void AppendInput(WireWriter& out, const v2::ModelConfigView::Tensor& tensor) {
  out.Text(1, tensor.name);
  out.Number(2, TypeNumber(tensor.type));
  AppendDims(out, 4, tensor.dims);
  AppendReshape(out, tensor.reshape);
  out.NumberOrNothing(8, tensor.optional ? 1 : 0);
}

void AppendOutput(WireWriter& out, const v2::ModelConfigView::Tensor& tensor) {
  out.Text(1, tensor.name);
  out.Number(2, TypeNumber(tensor.type));
  AppendDims(out, 3, tensor.dims);
  out.Text(4, tensor.label_filename);
  AppendReshape(out, tensor.reshape);
}

void AppendVersionPolicy(WireWriter& out, const VersionPolicy& policy) {
  switch (policy.kind) {
    case VersionPolicy::Kind::kLatest:
      return out.Message(
          1, [&](WireWriter& latest) { latest.Number(1, static_cast<uint64_t>(policy.latest)); });
    case VersionPolicy::Kind::kAll:
      return out.Message(2, [](WireWriter&) {});
    case VersionPolicy::Kind::kSpecific:
      return out.Message(3, [&](WireWriter& specific) {
        for (int64_t version : policy.specific) specific.Number(1, static_cast<uint64_t>(version));
      });
  }
}

void AppendQueuePolicy(WireWriter& out, uint32_t field, const BatchingConfig::Queue& queue) {
  out.Message(field, [&](WireWriter& policy) {
    policy.NumberOrNothing(1,
                           queue.timeout_action == BatchingConfig::TimeoutAction::kDelay ? 1 : 0);
    policy.NumberOrNothing(2, static_cast<uint64_t>(queue.default_timeout.count()));
    policy.NumberOrNothing(3, queue.allow_timeout_override ? 1 : 0);
    policy.NumberOrNothing(4, queue.max_size);
  });
}

void AppendBatching(WireWriter& out, const v2::ModelConfigView& view) {
  const BatchingConfig& batching = *view.batching;
  for (uint32_t size : batching.preferred_sizes) out.Number(1, size);
  out.NumberOrNothing(2, static_cast<uint64_t>(batching.max_delay.count()));
  out.NumberOrNothing(4, view.priorities.levels);
  out.NumberOrNothing(5, view.priorities.default_level);
  AppendQueuePolicy(out, 6, batching.queue);
  for (const auto& [level, queue] : view.priorities.queues) {
    out.Message(7, [level = level, &queue = queue](WireWriter& entry) {
      entry.Number(1, level);
      AppendQueuePolicy(entry, 2, queue);
    });
  }
}

}  // namespace

void AppendModelConfig(WireWriter& out, const ServableVersion& version) {
  const v2::ModelConfigView view = v2::DescribeModel(version);
  out.Text(1, view.name);
  out.Text(2, view.platform);
  out.Message(3, [&](WireWriter& policy) { AppendVersionPolicy(policy, *view.versions); });
  out.NumberOrNothing(4, static_cast<uint64_t>(view.max_batch_size));
  for (const auto& tensor : view.inputs)
    out.Message(5, [&](WireWriter& input) { AppendInput(input, tensor); });
  for (const auto& tensor : view.outputs)
    out.Message(6, [&](WireWriter& output) { AppendOutput(output, tensor); });
  out.Message(7, [&](WireWriter& group) {
    group.Text(1, StrCat(view.name, "_0"));
    group.Number(2, static_cast<uint64_t>(view.instances));
    group.Number(4, kKindCpu);
  });
  out.Text(8, view.default_model_filename);
  for (const auto& [capability, file] : view.cc_model_filenames) {
    out.Message(9, [&, &key = capability, &value = file](WireWriter& entry) {
      entry.Bytes(1, key);
      entry.Bytes(2, value);
    });
  }
  if (view.batching != nullptr)
    out.Message(11, [&](WireWriter& batching) { AppendBatching(batching, view); });
  for (const auto& [key, value] : view.parameters) {
    out.Message(14, [&, &name = key, &text = value](WireWriter& entry) {
      entry.Bytes(1, name);
      entry.Message(2, [&](WireWriter& parameter) { parameter.Text(1, text); });
    });
  }
  out.Text(17, view.backend);
}

}  // namespace leadsman::rpc

#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "storage/triton_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace leadsman;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  auto read = [](const std::string& path) -> Result<std::string> {
    if (path.size() % 2 == 1) return NotFoundError("there is no such file");
    return path + "\n\n" + path + "\r\n";
  };
  // As it comes with a load, or as it lies beside a model.
  Result<TritonConfig> config =
      text.starts_with('{') ? ParseTritonConfigJson(text, read) : ParseTritonConfig(text, read);
  if (!config.ok()) {
    CHECK(!config.status().message().empty());
    return 0;
  }
  CHECK(config->max_batch_size >= 0 && config->instances >= 0 && config->warmup_requests >= 0);
  for (const auto* tensors : {&config->inputs, &config->outputs}) {
    for (const TritonConfig::Tensor& tensor : *tensors) {
      CHECK(tensor.type != DataType::kInvalid && ElementSize(tensor.type) > 0);
      CHECK(tensor.dims.rank() > 0 && tensor.dims.rank() < Shape::kMaxRank);
      CHECK(!tensor.reshape || tensor.reshape->rank() < Shape::kMaxRank);
    }
  }
  if (config->dynamic_batching) {
    for (const auto& [level, queue] : config->dynamic_batching->level_queues)
      CHECK(level >= 1 && level <= config->dynamic_batching->priority_levels);
  }
  for (const TritonConfig::Warmup& warmup : config->warmups) {
    CHECK(warmup.count > 0 && !warmup.inputs.empty());
    for (const TritonConfig::Warmup::Input& input : warmup.inputs) {
      CHECK(input.type != DataType::kInvalid && input.rows > 0);
      CHECK(input.dims.ElementCount() && *input.dims.ElementCount() > 0);
    }
  }
  return 0;
}

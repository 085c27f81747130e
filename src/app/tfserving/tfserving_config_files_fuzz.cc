// Any bytes as each of the files that tensorflow_model_server takes, and as a ModelServerConfig off the wire: refused with a
// reason, or read as something that the rest of the server can rely on.
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "app/tfserving/config_files.h"
#include "base/check.h"
#include "base/testing/temp_dir.h"
#include "lifecycle/config_schema.h"

namespace leadsman::tfserving {
namespace {

void CheckModels(const Result<std::vector<Config::Model>>& models) {
  if (!models.ok()) {
    CHECK(!models.status().message().empty());
    return;
  }
  std::set<std::string> names;
  for (const Config::Model& each : *models) {
    const ModelConfig& model = each.model;
    CHECK(CheckModelName(model.name).empty());
    CHECK(!model.path.empty());
    CHECK(names.insert(model.name).second);
    CHECK(model.policy.latest >= 1);
    CHECK((model.policy.kind == VersionPolicy::Kind::kSpecific) == !model.policy.specific.empty());
    for (int64_t version : model.policy.specific) CHECK(version >= 1);
    for (const auto& [label, version] : model.labels) CHECK(!label.empty() && version >= 1);
  }
}

void CheckBatching(const Result<BatchingParameters>& batching) {
  if (!batching.ok()) {
    CHECK(!batching.status().message().empty());
    return;
  }
  CHECK(batching->max_batch_size >= 1);
  CHECK(batching->batch_timeout_micros >= 0);
  CHECK(batching->max_enqueued_batches >= 1);
  CHECK(!batching->num_batch_threads || *batching->num_batch_threads >= 1);
  if (batching->max_execution_batch_size) {
    CHECK(*batching->max_execution_batch_size >= 1);
    CHECK(*batching->max_execution_batch_size <= batching->max_batch_size);
  }
  int64_t before = 0;
  for (int64_t size : batching->allowed_batch_sizes) CHECK(size > std::exchange(before, size));
}

void CheckSession(const Result<SessionConfig>& session) {
  if (!session.ok()) {
    CHECK(!session.status().message().empty());
    return;
  }
  CHECK(session->intra_op_threads >= 0 && session->inter_op_threads >= 0);
  for (const std::string& name : session->without_effect) CHECK(!name.empty());
}

}  // namespace
}  // namespace leadsman::tfserving

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace leadsman;             // NOLINT: a fuzz target of ten lines
  using namespace leadsman::tfserving;  // NOLINT: the same
  static TempDir dir;
  const std::string path = dir.file("file");
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  CheckModels(LoadModelConfigFile(path, {}));
  CheckModels(ModelsFromSerialized({reinterpret_cast<const char*>(data), size},
                                   [](const std::string&) { return Config::Model(); }));
  CheckBatching(LoadBatchingParametersFile(path));
  CheckSession(LoadSessionConfigFile(path));
  auto platform = LoadPlatformConfigFile(path);
  if (platform.ok()) {
    CheckSession(platform->session);
    if (platform->batching) CheckBatching(*platform->batching);
  }
  auto metrics = LoadMonitoringConfigFile(path);
  CHECK(!metrics.ok() || !*metrics || ((*metrics)->starts_with('/') && (*metrics)->size() > 1));
  auto ssl = SslConfigFile(path).read(path);
  CHECK(!ssl.ok() || ssl->client_auth == net::ClientAuth::kNone ||
        !ssl->pem.client_authorities.empty());
  return 0;
}

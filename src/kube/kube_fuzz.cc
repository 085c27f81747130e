// What comes from an API server, and kubeconfigs. The first byte says which; of a watch the second says how it is cut up.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "kube/api_failure.h"
#include "kube/cluster_access.h"
#include "kube/object.h"
#include "kube/object_store.h"
#include "kube/watch_decoder.h"

namespace kube = leadsman::kube;

namespace {

void Watch(std::string_view bytes) {
  if (bytes.empty()) return;
  const size_t piece = size_t(static_cast<unsigned char>(bytes[0])) + 1;
  bytes.remove_prefix(1);
  constexpr size_t kMaxEvent = 4096;
  kube::WatchDecoder decoder(kMaxEvent);
  kube::ObjectStore store;
  size_t events = 0;
  while (!bytes.empty()) {
    const leadsman::Status status =
        decoder.Feed(bytes.substr(0, piece), [&](kube::WatchEvent event) {
          ++events;
          (void)store.Take(event);
          (void)event.object.key();
          return leadsman::OkStatus();
        });
    if (!status.ok()) break;
    bytes.remove_prefix(std::min(piece, bytes.size()));
  }
  CHECK(store.size() <= events);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  if (text.empty()) return 0;
  const char which = text[0];
  text.remove_prefix(1);
  switch (which) {
    case 'w':
      Watch(text);
      break;
    case 'k': {
      auto access = kube::ParseKubeconfigs({{"/home/user/.kube/config", std::string(text)}}, "");
      CHECK(!access.ok() || !access->server.empty());
      break;
    }
    case 's': {
      const auto failure = kube::ParseFailure(403, text.substr(0, 4), text);
      CHECK(!failure.ToStatus("get pods").ok());
      break;
    }
    default: {
      auto object = kube::Object::Parse(text);
      if (!object.ok()) break;
      (void)object->key();
      (void)object->deleting();
      (void)object->Number("/spec/replicas");
      (void)object->Text(text.substr(0, 40));
    }
  }
  return 0;
}

#include "lifecycle/given_folders.h"

#include <utility>

#include "base/mutex.h"
#include "base/schema.h"
#include "base/strings.h"
#include "lifecycle/loader_pool.h"

namespace leadsman {

struct GivenFolders::Shared {
  explicit Shared(int64_t most) : max_bytes(most) {}

  const int64_t max_bytes;
  LoaderPool deleter;  ///< at most one job for each folder
  Mutex mutex;
  int64_t bytes GUARDED_BY(mutex) = 0;
};

/// A folder and the bytes that it is counted with.
struct GivenFolders::Held {
  Held(std::shared_ptr<Shared> s, int64_t b) : shared(std::move(s)), bytes(b) {}
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() {
    files.reset();
    MutexLock lock(shared->mutex);
    shared->bytes -= bytes;
  }

  const std::shared_ptr<Shared> shared;
  const int64_t bytes;
  std::shared_ptr<GivenFiles> files;
};

GivenFolders::GivenFolders(std::string root, int64_t max_bytes, bool own_thread)
    : root_(std::move(root)), shared_(std::make_shared<Shared>(max_bytes)) {
  if (own_thread) shared_->deleter.Start(1);
}

GivenFolders::~GivenFolders() { shared_->deleter.Stop(); }

Result<std::shared_ptr<GivenFiles>> GivenFolders::Create(std::map<std::string, std::string> files) {
  int64_t bytes = 0;
  for (const auto& [path, content] : files) bytes += static_cast<int64_t>(content.size());
  {
    MutexLock lock(shared_->mutex);
    if (bytes > shared_->max_bytes - shared_->bytes) {
      return ResourceExhaustedError(
          StrCat("parameters.file: ", schema::FormatBytes(bytes), " of files beside ",
                 schema::FormatBytes(shared_->bytes),
                 " of other models are more than repository.max_files_size (",
                 schema::FormatBytes(shared_->max_bytes), "); unload a model or raise it"));
    }
    shared_->bytes += bytes;
  }
  auto held = std::make_shared<Held>(shared_, bytes);
  ASSIGN_OR_RETURN(held->files, GivenFiles::Create(root_, std::move(files)));
  GivenFiles* shown = held->files.get();
  return std::shared_ptr<GivenFiles>(shown, [held = std::move(held)](GivenFiles*) mutable {
    const std::shared_ptr<Shared> shared = held->shared;
    shared->deleter.Submit([held = std::move(held)]() mutable { held.reset(); });
  });
}

void GivenFolders::DeleteHere() {
  while (shared_->deleter.RunOneHere()) {
  }
}

}  // namespace leadsman

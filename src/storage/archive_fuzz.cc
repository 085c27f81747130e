#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>

#include "base/check.h"
#include "base/testing/temp_dir.h"
#include "storage/archive.h"

// Whatever the archive says, nothing appears outside the folder, and no link inside.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static leadsman::TempDir dir;
  namespace fs = std::filesystem;
  fs::path out = dir.path() / "in" / "out";
  fs::remove_all(dir.path() / "in");
  fs::create_directories(out);
  std::ofstream(dir.file("archive"), std::ios::binary)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  static_cast<void>(leadsman::UnpackArchive(dir.file("archive"), out.string(),
                                            {.max_bytes = 1 << 20, .max_files = 50}, {}));
  for (const auto& entry : fs::directory_iterator(dir.path())) {
    CHECK(entry.path().filename() == "in" || entry.path().filename() == "archive");
  }
  for (const auto& entry : fs::recursive_directory_iterator(dir.path() / "in"))
    CHECK(!entry.is_symlink() && (entry.is_regular_file() || entry.is_directory()));
  return 0;
}

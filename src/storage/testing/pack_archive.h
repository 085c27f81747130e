#pragma once

#include <archive.h>
#include <archive_entry.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace leadsman {

struct ArchiveEntry {
  std::string path;
  std::string content;
  unsigned kind = AE_IFREG;
  std::string link;
};

/// Writes a .zip or, under any other name, a .tar.gz to `path`.
inline void PackArchive(const std::string& path, const std::vector<ArchiveEntry>& entries) {
  struct archive* out = archive_write_new();
  if (path.ends_with(".zip")) {
    archive_write_set_format_zip(out);
  } else {
    archive_write_add_filter_gzip(out);
    archive_write_set_format_pax_restricted(out);
  }
  EXPECT_EQ(archive_write_open_filename(out, path.c_str()), ARCHIVE_OK);
  for (const ArchiveEntry& e : entries) {
    struct archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, e.path.c_str());
    archive_entry_set_filetype(entry, e.kind);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, static_cast<la_int64_t>(e.content.size()));
    if (e.kind == AE_IFLNK) archive_entry_set_symlink(entry, e.link.c_str());
    if (e.kind == AE_IFREG && !e.link.empty()) archive_entry_set_hardlink(entry, e.link.c_str());
    EXPECT_GE(archive_write_header(out, entry), ARCHIVE_WARN) << archive_error_string(out);
    archive_write_data(out, e.content.data(), e.content.size());
    archive_entry_free(entry);
  }
  archive_write_close(out);
  archive_write_free(out);
}

}  // namespace leadsman

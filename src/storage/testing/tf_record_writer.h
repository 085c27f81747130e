#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "storage/tf_record.h"

namespace leadsman {

/// Appends a record as TensorFlow's TFRecordWriter would.
inline void AppendTfRecord(std::string& file, std::string_view data) {
  auto number = [&](auto value) {
    file.append(reinterpret_cast<const char*>(&value), sizeof(value));
  };
  const uint64_t length = data.size();
  number(length);
  number(MaskedCrc32c({reinterpret_cast<const char*>(&length), sizeof(length)}));
  file += data;
  number(MaskedCrc32c(data));
}

}  // namespace leadsman

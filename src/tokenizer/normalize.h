// Unicode normalisation form C in linear time.
#pragma once

#include <string>
#include <string_view>

namespace qvl {

/// `text` (valid UTF-8) in form C as of Unicode 9, like the published tokenizer.
std::string normalize_nfc(std::string_view text);

}  // namespace qvl

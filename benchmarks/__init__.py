"""Side by side against peers; nothing here is installed. A package, because opacus installs one of the same name."""

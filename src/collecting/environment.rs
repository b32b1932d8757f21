//! The environment of plugins: what those of Netdata expect to find there.
//!
//! Source: configuration reference section 11.2.

use std::path::Path;

use crate::catalog::HostInfo;
use crate::config::Config;

/// All variables that plugins have besides those that we were started with.
pub fn variables(config: &Config, own: &HostInfo) -> Vec<(String, String)> {
    let directories = &config.directories;
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let plugins: Vec<String> = config.collecting.plugins.directories.iter().map(|one| path(one)).collect();
    let others: Vec<String> = plugins.iter().skip(1).map(|one| format!("\"{one}\"")).collect();
    let hostname = config.hostname.clone();
    let mut variables = vec![
        ("NETDATA_UPDATE_EVERY", config.database.update_every_s.to_string()),
        ("NETDATA_VERSION", own.program_version.to_string()),
        ("NETDATA_HOSTNAME", hostname.clone()),
        ("NETDATA_HOST_PREFIX", String::new()),
        ("NETDATA_CONFIG_DIR", path(&directories.config)),
        ("NETDATA_USER_CONFIG_DIR", path(&directories.config)),
        ("NETDATA_STOCK_CONFIG_DIR", path(&directories.stock_config)),
        ("NETDATA_PLUGINS_DIR", plugins.first().cloned().unwrap_or_default()),
        ("NETDATA_USER_PLUGINS_DIRS", others.join(" ")),
        ("NETDATA_WEB_DIR", path(&directories.web)),
        ("NETDATA_CACHE_DIR", path(&directories.cache)),
        ("NETDATA_LIB_DIR", path(&directories.lib)),
        ("NETDATA_LOCK_DIR", path(&directories.lock())),
        ("NETDATA_LOG_DIR", path(&directories.log)),
        ("NETDATA_DEBUG_FLAGS", "0x0000000000000000".to_owned()),
        ("NETDATA_ERRORS_THROTTLE_PERIOD", "1200".to_owned()),
        ("NETDATA_ERRORS_PER_PERIOD", "200".to_owned()),
        ("NETDATA_LISTEN_PORT", config.web.default_port.to_string()),
        ("NETDATA_INTERNALS_MONITORING", "NO".to_owned()),
        ("NETDATA_REGISTRY_HOSTNAME", hostname),
        ("NETDATA_REGISTRY_UNIQUE_ID", own.machine_guid.hyphenated().to_string()),
        ("PYTHONUNBUFFERED", "1".to_owned()),
        ("LC_ALL", "C".to_owned()),
        ("MALLOC_ARENA_MAX", "1".to_owned()),
        ("UV_THREADPOOL_SIZE", "16".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect::<Vec<_>>();
    variables.extend(own.system.iter().map(|(name, value)| (name.to_string(), value.to_string())));
    // The operator has the last word.
    variables.extend(config.collecting.plugins.environment.iter().cloned());
    variables
}

-- Servers and user mappings of fluct_kafka: an allow-list, and no secrets.
\set VERBOSITY default
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS fluct CASCADE;
CREATE EXTENSION fluct;
SET client_min_messages = notice;
CREATE SERVER nowhere FOREIGN DATA WRAPPER fluct_kafka;
CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS ("bootstrap.servers" 'k1:9092');
CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers 'k1:9092', plugin_library_paths '/tmp/x.so');
CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers E'k1:9092\nk2');
CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers 'k1:9092', security_protocol 'tls');
CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers 'k1:9092', sasl_mechanism 'GSSAPI');
CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers 'k1:9092', socket_timeout_ms '1e9');
CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers 'k1:9092', sasl_password 'geheim');
CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers 'k1:9092', sasl_username 'etl');

-- what is nearly right says what is right
CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_server 'k1:9092');
CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers 'k1:9092', sasl_usernam 'etl');
CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers 'http://k1:9092');
CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers 'k1:9092, k2:99999');
CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers 'k1:0');
CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers 'k1:9092;k2');
CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers ', ,');
CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers '');
CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers 'a:9092,,b:9092');
CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers ' ,k1');
CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers 'k1 , ');
CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers 'k1:9092', ssl_ca_pem '/etc/ssl/ca.pem');
CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers 'k1:9092', ssl_ca_pem 'file:/etc/ssl/ca.pem');
CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers 'k1:9092', socket_keepalive_enable 'yes');
CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers 'k1:9092', security_protocol 'sasl-ssl');
CREATE SERVER upper FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers 'K1, [::1]:9093 k_2.example:1', security_protocol 'SASL_SSL', sasl_mechanism 'scram-sha-256', socket_keepalive_enable 'TRUE');
DROP SERVER upper;
CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers 'k1:9092,k2:9092', security_protocol 'sasl_ssl', sasl_mechanism 'SCRAM-SHA-512', group_id 'etl');

-- a secret is never repeated
CREATE USER MAPPING FOR CURRENT_USER SERVER shop OPTIONS (sasl_username 'etl', sasl_password 'geheim');
CREATE USER MAPPING FOR CURRENT_USER SERVER shop OPTIONS (sasl_username 'etl', sasl_password 'file:../other/kafka.pw');
CREATE USER MAPPING FOR CURRENT_USER SERVER shop OPTIONS (bootstrap_servers 'k1:9092');
CREATE USER MAPPING FOR CURRENT_USER SERVER shop OPTIONS (sasl_username 'etl', sasl_password 'file:kafka.pw');
SET fluct.allow_literal_secrets = on;
ALTER USER MAPPING FOR CURRENT_USER SERVER shop OPTIONS (SET sasl_password 'geheim');
RESET fluct.allow_literal_secrets;

-- a server that a stream needs stays
DROP SERVER shop CASCADE;
\getenv srcdir PG_ABS_SRCDIR
\set operator :srcdir '/lib/operator.sql'
\i :operator
CREATE SERVER shop FOREIGN DATA WRAPPER fluct_kafka OPTIONS (bootstrap_servers 'k1:9092');
CREATE USER MAPPING FOR CURRENT_USER SERVER shop OPTIONS (sasl_username 'etl', sasl_password 'file:kafka.pw');
SELECT fluct.create_tables() IS NOT NULL AS made;
SELECT fluct.create_stream('orders', server => 'shop', topic => 'orders');
DROP SERVER shop CASCADE;
SELECT fluct.drop_stream('orders');
DROP SERVER shop CASCADE;

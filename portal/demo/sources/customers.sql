-- The demonstration's customers. Parameters: path, columns, seed, and the lists of names, domains, networks.
CREATE OR REPLACE TABLE customer AS
WITH bank AS (
  SELECT row_number() OVER () AS n, * FROM read_csv($path, header = true, delim = ',', columns = $columns)
),
drawn AS (  -- one independent draw a choice: 63 bits of md5(seed/choice/row)
  SELECT
    bank.*,
    (md5_number_lower(concat_ws('/', $seed, 'given', n)) >> 1)::BIGINT AS given,
    (md5_number_lower(concat_ws('/', $seed, 'family', n)) >> 1)::BIGINT AS family,
    (md5_number_lower(concat_ws('/', $seed, 'chinese', n)) >> 1)::BIGINT % 5 < 2 AS is_chinese,
    (md5_number_lower(concat_ws('/', $seed, 'phone', n)) >> 1)::BIGINT AS phone_draw,
    (md5_number_lower(concat_ws('/', $seed, 'area', n)) >> 1)::BIGINT % $areas AS area,
    (md5_number_lower(concat_ws('/', $seed, 'street', n)) >> 1)::BIGINT AS street,
    (md5_number_lower(concat_ws('/', $seed, 'network', n)) >> 1)::BIGINT AS network,
    md5(concat_ws('/', $seed, 'device', n)) AS device
  FROM bank
),
named AS (
  SELECT
    *,
    if(is_chinese, $chinese_given[1 + given % len($chinese_given)], $english_given[1 + given % len($english_given)]) AS given_name,
    if(is_chinese, $chinese_family[1 + family % len($chinese_family)], $english_family[1 + family % len($english_family)]) AS family_name
  FROM drawn
)
SELECT
  format('c{:05d}', n) AS id,
  age, job, marital, education, "default", balance, housing, loan, contact, day, month, duration,
  campaign, pdays, previous, poutcome, y,
  if(
    is_chinese,
    split_part(family_name, '/', 1) || split_part(given_name, '/', 1),
    given_name || ' ' || family_name
  ) AS name,
  format(
    '{}.{}.{}@{}',
    lower(split_part(given_name, '/', -1)),
    lower(split_part(family_name, '/', -1)),
    n,
    $domains[1 + phone_draw % len($domains)]
  ) AS email,
  if(
    is_chinese,
    format('+1 202 555 01{:02d}', phone_draw % 100),
    format('+44 7700 900{:03d}', phone_draw % 1000)
  ) AS phone,
  format('LX{:02d}-{:03d}', 1 + area, street % 1000) AS postcode,
  format('LX{:02d}', 1 + area) AS postcode_area,
  format(
    '{:.4f},{:.4f}',
    38.70 + (area // 6) * 0.02 + (street % 199) * 0.0001,
    -9.20 + (area % 6) * 0.02 + (street // 1000 % 199) * 0.0001
  ) AS location,
  'dev-' || device[1:16] AS device_id,
  format('{}.{}/28', $networks[1 + network % len($networks)], 16 * (network // 8 % 16)) AS ip_range
FROM named
ORDER BY n;

# Whole payloads as shops, payment services, event buses and spreadsheets write them: each is declared by a mapping only.
# The rows are written out here, as a program for that payload would have stored them.
use strict;
use warnings;
use lib 'test/t/lib';
use Fluct;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = PostgreSQL::Test::Utils::tempdir();
my $kafka = fluct_broker();
my $node = fluct_node('main', kafka => $kafka, 'fluct.inbox_root' => $root);

sub stream
{
	my ($name, $tables, $mapping, @messages) = @_;

	mapped_stream($name, $tables, $mapping, ", on_conflict => 'update'", map { s/\n\s*/ /gr } @messages);
	return is(letters($name), '', "$name: no dead letters");
}

# ----- an order of a shop: amounts in quotes, ids as numbers, null customers, discounts per line -----

stream('shop_orders', q{
	CREATE TABLE shop_orders (id bigint PRIMARY KEY, name text, email text, customer text, currency text, total numeric, test boolean,
		created_at timestamptz, tags text[], city text, extra jsonb);
	CREATE TABLE shop_lines (order_id bigint, n int, sku text, quantity int, price numeric, discounts jsonb);
	CREATE TABLE shop_attributes (order_id bigint, name text, value text)},
	'{"columns": {"id": "$.id", "name": "$.name", "email": {"path": "$.email", "null": [""]}, "customer": {"path": "$.customer.id", "format": "text"},
		"currency": "$.currency", "total": {"path": "$.total_price", "format": "number"}, "test": "$.test", "created_at": "$.created_at",
		"tags": "$.tags", "city": "$.shipping_address.city"}, "extra": "extra",
	  "children": [
		{"target": "public.shop_lines", "rows": "$.line_items[*]", "columns": {"order_id": "$.id", "n": "#", "sku": "@.sku",
			"quantity": "@.quantity", "price": {"path": "@.price", "format": "number"}, "discounts": "@.discount_allocations"}},
		{"target": "public.shop_attributes", "rows": "$.note_attributes[*]", "required": false, "columns": {"order_id": "$.id",
			"name": "@.name", "value": {"path": "@.value", "format": "text"}}}]}',
	'{"id": 450789469, "name": "#1001", "email": "bob@example.com", "customer": {"id": 207119551, "note": null}, "currency": "USD", "total_price": "409.94", "test": false,
		"created_at": "2026-01-10T11:00:00-05:00", "tags": ["a", "b"], "shipping_address": {"city": "Ottawa", "zip": "K2P0V6"}, "financial_status": "paid",
		"line_items": [{"id": 1, "sku": "IPOD-GREEN", "quantity": 1, "price": "199.00", "discount_allocations": [{"amount": "3.34"}]},
			{"id": 2, "sku": null, "quantity": 2, "price": "105.47", "discount_allocations": []}],
		"note_attributes": [{"name": "gift", "value": true}, {"name": "colour", "value": "red"}]}',
	'{"id": 450789470, "name": "#1002", "email": "", "customer": null, "currency": "EUR", "total_price": "0.00", "test": true,
		"created_at": "2026-01-10T12:00:00-05:00", "tags": [], "shipping_address": null, "line_items": []}');
is(sql('SELECT to_jsonb(o) FROM shop_orders o ORDER BY id'), join("\n",
	'{"id": 450789469, "city": "Ottawa", "name": "#1001", "tags": ["a", "b"], "test": false, "email": "bob@example.com", "extra": {"financial_status": "paid"}, "total": 409.94, '
	. '"currency": "USD", "customer": "207119551", "created_at": "2026-01-10T16:00:00+00:00"}',
	'{"id": 450789470, "city": null, "name": "#1002", "tags": [], "test": true, "email": null, "extra": null, "total": 0.00, "currency": "EUR", "customer": null, "created_at": "2026-01-10T17:00:00+00:00"}'),
	'orders');
is(sql('SELECT * FROM shop_lines ORDER BY n'), qq(450789469|1|IPOD-GREEN|1|199.00|[{"amount": "3.34"}]\n450789469|2||2|105.47|[]), 'lines');
is(sql('SELECT * FROM shop_attributes ORDER BY name'), "450789469|colour|red\n450789469|gift|true", 'attributes');

# ----- events of a payment service: seconds since 1970, amounts in cents, the object inside, lists in {"data"} -----

stream('charges', q{
	CREATE TABLE charges (id text PRIMARY KEY, amount bigint, currency text, paid boolean, created timestamptz, order_ref text, livemode boolean, api_version date);
	CREATE TABLE refunds (charge text, id text, amount bigint)},
	'{"where": {"$.type": ["charge.succeeded", "charge.refunded"]},
	  "columns": {"id": "$.data.object.id", "amount": "$.data.object.amount", "currency": "$.data.object.currency", "paid": "$.data.object.paid",
		"created": {"path": "$.data.object.created", "format": "epoch_s"}, "order_ref": "$.data.object.metadata[\"order ref\"]", "livemode": "$.livemode", "api_version": "$.api_version"},
	  "children": [{"target": "public.refunds", "rows": "$.data.object.refunds.data[*]", "required": false,
		"columns": {"charge": "$.data.object.id", "id": "@.id", "amount": "@.amount"}}]}',
	'{"id": "evt_1", "object": "event", "type": "charge.succeeded", "api_version": "2025-08-27", "livemode": false, "data": {"object": {"id": "ch_1", "object": "charge", "amount": 2099,
		"currency": "usd", "paid": true, "created": 1679090539, "metadata": {"order ref": "6735"}, "refunds": {"object": "list", "data": [], "has_more": false}}}}',
	'{"id": "evt_2", "object": "event", "type": "customer.created", "api_version": "2025-08-27", "livemode": false, "data": {"object": {"id": "cus_1", "object": "customer"}}}',
	'{"id": "evt_3", "object": "event", "type": "charge.refunded", "api_version": "2025-08-27", "livemode": false, "data": {"object": {"id": "ch_1", "object": "charge", "amount": 2099,
		"currency": "usd", "paid": true, "created": 1679090539, "metadata": {}, "refunds": {"object": "list", "data": [{"id": "re_1", "amount": 1000}, {"id": "re_2", "amount": 99}]}}}}');
is(sql('SELECT * FROM charges'), 'ch_1|2099|usd|t|2023-03-17 22:02:19+00||f|2025-08-27', 'a charge');
is(sql('SELECT * FROM refunds ORDER BY id'), "ch_1|re_1|1000\nch_1|re_2|99", 'and its refunds');
is(sql("SELECT filtered FROM fluct.stat_streams WHERE stream = 'charges'"), '1', 'another type is filtered');

# ----- CloudEvents: attributes beside the data, extensions, data in base64 -----

stream('cloud', q{CREATE TABLE cloud (source text, id text, type text, at timestamptz, subject text, trace text, sku text, amount numeric, raw bytea, PRIMARY KEY (source, id))},
	'{"columns": {"source": "$.source", "id": "$.id", "type": "$.type", "at": "$.time", "subject": "$.subject", "trace": "$.traceparent",
		"sku": "$.data.sku", "amount": "$.data.amount", "raw": {"path": "$.data_base64", "format": "base64"}}}',
	'{"specversion": "1.0", "type": "com.example.sold", "source": "/shop/1", "subject": "a", "id": "A234-1234-1234", "time": "2018-04-05T17:31:00Z",
		"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b9c7c989f97918e1-01", "datacontenttype": "application/json", "data": {"sku": "x", "amount": 12.50}}',
	'{"specversion": "1.0", "type": "com.example.image", "source": "/shop/2", "id": "A234-1234-1234", "time": "2018-04-05T17:31:00.123456789+02:00",
		"datacontenttype": "image/png", "data_base64": "iVBORw=="}');
is(sql('SELECT * FROM cloud ORDER BY source'), join("\n",
	'/shop/1|A234-1234-1234|com.example.sold|2018-04-05 17:31:00+00|a|00-0af7651916cd43dd8448eb211c80319c-b9c7c989f97918e1-01|x|12.50|',
	'/shop/2|A234-1234-1234|com.example.image|2018-04-05 15:31:00.123457+00|||||\x89504e47'), 'events');

# ----- a spreadsheet under Windows: sep=, semicolons, CRLF, its code page, blank rows at the end -----

etl('CREATE TABLE articles (number text PRIMARY KEY, name text, price numeric, since date)');
write_file("$root/articles.csv", "sep=;\r\nArticle No;Name of it;Price;Since\r\n0012;\"Stra\xdfe; lang\";1.50;2026-01-31\r\n0013;10 \x80;2;\r\n;;;\r\n;;;\r\n");
is(etl(q{SELECT status, rows, rejected FROM fluct.load_table('articles.csv', 'articles', encoding => 'WIN1252', delimiter => ';',
	mapping => '{"columns": {"number": "$[\"Article No\"]", "name": "$[\"Name of it\"]", "price": "$.Price", "since": "$.Since"}}')}), 'loaded|2|0', 'a file of Excel');
is(sql('SELECT * FROM articles ORDER BY number'), "0012|Stra\xc3\x9fe; lang|1.50|2026-01-31\n0013|10 \xe2\x82\xac|2|", 'and its rows');

# ----- customers, with their industries as a list -----

etl("INSERT INTO sales.industries VALUES ('Polymers'), ('Cleaning') ON CONFLICT DO NOTHING");
$kafka->create_topic('customers');
$kafka->produce('customers', [ '{"id": "w1", "name": "Acme", "industries": ["Polymers", "Cleaning"]}', '{"id": "w2", "name": "Twice", "industries": ["Polymers", "Polymers"]}',
	'{"id": "w1", "name": "Acme Ltd", "industries": ["Cleaning"]}' ]);
etl(q[SELECT fluct.create_stream('customers', 'shop', 'customers', 'sales.customers', '{"columns": {"customer_id": "$.id", "company_name": "$.name"},
	"children": [{"target": "sales.customer_industries", "rows": "$.industries[*]", "columns": {"customer_id": "$.id", "industry": "@"}}]}',
	on_conflict => 'update', start => true)]);
ok(caught_up($node, 'customers'), 'customers');
is(sql("SELECT customer_id, c.company_name, i.industry FROM sales.customers c JOIN sales.customer_industries i USING (customer_id) WHERE customer_id LIKE 'w_'"),
	'w1|Acme Ltd|Cleaning', 'the last version of each, with its industries');
is(letters('customers'), '1 constraint', 'one that has an industry twice is refused');

done_testing();

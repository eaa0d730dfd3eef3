BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0011');
CREATE TABLE deliveries (
	job VARCHAR(64) NOT NULL, 
	url TEXT NOT NULL, 
	created FLOAT NOT NULL, 
	attempts INTEGER NOT NULL, 
	due FLOAT, 
	delivered FLOAT, 
	dead BOOLEAN NOT NULL, 
	error TEXT, receiver VARCHAR(300) DEFAULT '' NOT NULL, caller VARCHAR(64) DEFAULT '' NOT NULL, lane INTEGER DEFAULT '0' NOT NULL, 
	CONSTRAINT pk_deliveries PRIMARY KEY (job), 
	CONSTRAINT fk_deliveries_job FOREIGN KEY(job) REFERENCES jobs (id) ON DELETE CASCADE
);
INSERT INTO "deliveries" VALUES('c6dc1644-96e2-4088-b961-85ca7322b2c8','http://nowhere.test/hook',1.79587450432727932926e+09,1,1.79587451788597536085e+09,NULL,0,'nowhere.test has no address; check how it is spelt','http://nowhere.test','9f86d081884c7d659a2feaa0c55ad015',1);
CREATE TABLE files (
	"key" VARCHAR(255) NOT NULL, 
	job VARCHAR(64), 
	caller VARCHAR(64) NOT NULL, 
	name TEXT NOT NULL, 
	content_type TEXT NOT NULL, 
	size BIGINT NOT NULL, 
	created FLOAT NOT NULL, 
	expires FLOAT, 
	public BOOLEAN NOT NULL, 
	CONSTRAINT pk_files PRIMARY KEY ("key")
);
INSERT INTO "files" VALUES('files/b/8ee8ebe9/GgFUnCpGkSros6UNcy3nQpMEApCj.png','c6dc1644-96e2-4088-b961-85ca7322b2c8','9f86d081884c7d659a2feaa0c55ad015','GgFUnCpGkSros6UNcy3nQpMEApCj.png','image/png',156,1.79587450432510137557e+09,2.79587450432510137548e+09,1);
INSERT INTO "files" VALUES('files/b/583cf33a/kj-MFwgtYKolWqkRuwtKaGO1KaIZ.webp','3ab1bb63-7acb-4709-9448-9b113569e45c','9f86d081884c7d659a2feaa0c55ad015','kj-MFwgtYKolWqkRuwtKaGO1KaIZ.webp','image/webp',1946,1.79587450434819269175e+09,2.79587450434819269188e+09,1);
CREATE TABLE jobs (
	id VARCHAR(64) NOT NULL, 
	door VARCHAR(32) NOT NULL, 
	caller VARCHAR(64) NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	priority INTEGER NOT NULL, 
	turn FLOAT NOT NULL, 
	attended BOOLEAN NOT NULL, 
	created FLOAT NOT NULL, 
	start_by FLOAT, 
	started FLOAT, 
	finished FLOAT, 
	attempts INTEGER NOT NULL, 
	worker VARCHAR(64), 
	lease FLOAT, 
	unwanted BOOLEAN NOT NULL, 
	callback TEXT, 
	keep FLOAT, 
	public BOOLEAN NOT NULL, 
	stored BOOLEAN NOT NULL, 
	source TEXT NOT NULL, 
	generation JSON NOT NULL, 
	wire JSON NOT NULL, 
	result JSON, 
	fault JSON, flow VARCHAR(80) DEFAULT '' NOT NULL, local BOOLEAN DEFAULT 0 NOT NULL, begun INTEGER DEFAULT '0' NOT NULL, server VARCHAR(64), ready BOOLEAN DEFAULT 1 NOT NULL, host VARCHAR(255) DEFAULT '' NOT NULL, 
	CONSTRAINT pk_jobs PRIMARY KEY (id)
);
INSERT INTO "jobs" VALUES('c6dc1644-96e2-4088-b961-85ca7322b2c8','fal','9f86d081884c7d659a2feaa0c55ad015','succeeded',1,1.79587450400409293169e+09,0,1.79587450400096797949e+09,NULL,1.79587450405323195462e+09,1.79587450432727932926e+09,1,NULL,NULL,0,'http://nowhere.test/hook',NULL,1,1,'pico','{"prompt": "a red cat", "model": "fal-ai/flux/schnell", "width": 64, "height": 64, "steps": 4, "guidance_scale": 3.5, "seed": 1, "negative_prompt": "", "num_images": 1, "scheduler": null, "format": "png", "guidance_range": [0.0, 1.0], "image": null, "mask": null, "strength": 0.8, "outpaint": false, "image_sized": false, "loras": [], "style": null, "palette": [], "expand": false, "acceleration": "regular"}','{"app": "fal-ai/flux/schnell", "base": "http://localhost", "sync": false}','{"files": [{"key": "files/b/8ee8ebe9/GgFUnCpGkSros6UNcy3nQpMEApCj.png", "content_type": "image/png", "size": 156, "width": 64, "height": 64}], "prompt": "a red cat", "seconds": 0.25, "served_by": "pico", "ignored": []}','null','1/short/9f86d081884c7d659a2feaa0c55ad015',1,0,NULL,1,'');
INSERT INTO "jobs" VALUES('3ab1bb63-7acb-4709-9448-9b113569e45c','replicate','9f86d081884c7d659a2feaa0c55ad015','succeeded',1,1.79587450480409288404e+09,0,1.7958745041302816868e+09,NULL,1.79587450414233708384e+09,1.79587450434958672521e+09,1,NULL,NULL,0,NULL,NULL,1,1,'pico','{"prompt": "a red cat", "model": "black-forest-labs/flux-schnell", "width": 1024, "height": 1024, "steps": 4, "guidance_scale": 4.0, "seed": 1, "negative_prompt": "", "num_images": 1, "scheduler": null, "format": "webp", "guidance_range": [0.0, 1.0], "image": null, "mask": null, "strength": 0.8, "outpaint": false, "image_sized": false, "loras": [], "style": null, "palette": [], "expand": false, "acceleration": "none"}','{"model": "black-forest-labs/flux-schnell", "version": "15a90f7dcb76a82677eec731c9b77065ebed389a79d0ee146568866ddfe57eab", "single": false, "input": {"prompt": "a red cat", "seed": 1, "num_inference_steps": 4}, "base": "http://localhost", "webhook": null, "events": [], "life": null, "remarks": []}','{"files": [{"key": "files/b/583cf33a/kj-MFwgtYKolWqkRuwtKaGO1KaIZ.webp", "content_type": "image/webp", "size": 1946, "width": 1024, "height": 1024}], "prompt": "a red cat", "seconds": 0.25, "served_by": "pico", "ignored": []}','null','1/usual/9f86d081884c7d659a2feaa0c55ad015',1,0,NULL,1,'');
INSERT INTO "jobs" VALUES('79f06b73-8ebe-4f51-ad7b-92fbcdedf467','fal','9f86d081884c7d659a2feaa0c55ad015','failed',1,1.79587451040409278868e+09,0,1.79587450442336249347e+09,NULL,NULL,1.79587450448339772221e+09,0,NULL,NULL,0,NULL,NULL,1,1,'pico','{"prompt": "a red cat", "model": "fal-ai/ideogram/v3/remix", "width": 1024, "height": 1024, "steps": 28, "guidance_scale": 4.0, "seed": 1, "negative_prompt": "", "num_images": 1, "scheduler": null, "format": "png", "guidance_range": [0.0, 1.0], "image": "http://nowhere.test/a.png", "mask": null, "strength": 0.2, "outpaint": false, "image_sized": false, "loras": [], "style": null, "palette": [], "expand": true, "acceleration": "none"}','{"app": "fal-ai/ideogram/v3/remix", "base": "http://localhost", "sync": false}','null','{"kind": "unreachable", "message": "nowhere.test has no address; check how it is spelt", "field": "image", "retry_after": null}','1/long/9f86d081884c7d659a2feaa0c55ad015',1,0,NULL,0,'nowhere.test');
INSERT INTO "jobs" VALUES('386c111d-3ee7-4f28-8d1d-abcdbf85c103','fal','9f86d081884c7d659a2feaa0c55ad015','running',2,1.79587450514714193341e+09,0,1.79587450514245438575e+09,NULL,1.795874505149525404e+09,NULL,1,'c9204d33976848e6a25e5ae97faae9c8',1.79587451514952540394e+09,0,NULL,NULL,1,1,'pico','{"prompt": "waits", "model": "fal-ai/flux/dev", "width": 64, "height": 64, "steps": 3, "guidance_scale": 2.5, "seed": 1, "negative_prompt": "", "num_images": 2, "scheduler": null, "format": "jpeg", "guidance_range": [0.0, 1.0], "image": null, "mask": null, "strength": 0.8, "outpaint": false, "image_sized": false, "loras": [], "style": null, "palette": [], "expand": false, "acceleration": "none"}','{"app": "fal-ai/flux/dev", "base": "http://localhost", "sync": false}','null','null','2/short/9f86d081884c7d659a2feaa0c55ad015',1,1,NULL,1,'');
CREATE TABLE lines (
	job VARCHAR(64) NOT NULL, 
	number INTEGER NOT NULL, 
	at FLOAT NOT NULL, 
	message TEXT NOT NULL, 
	CONSTRAINT pk_lines PRIMARY KEY (job, number), 
	CONSTRAINT fk_lines_job FOREIGN KEY(job) REFERENCES jobs (id) ON DELETE CASCADE
);
INSERT INTO "lines" VALUES('c6dc1644-96e2-4088-b961-85ca7322b2c8',0,1.79587450415608501433e+09,'step 1 of 4');
INSERT INTO "lines" VALUES('c6dc1644-96e2-4088-b961-85ca7322b2c8',1,1.79587450415619206424e+09,'step 2 of 4');
INSERT INTO "lines" VALUES('c6dc1644-96e2-4088-b961-85ca7322b2c8',2,1.79587450415630126001e+09,'step 3 of 4');
INSERT INTO "lines" VALUES('c6dc1644-96e2-4088-b961-85ca7322b2c8',3,1.79587450416361832624e+09,'step 4 of 4');
INSERT INTO "lines" VALUES('c6dc1644-96e2-4088-b961-85ca7322b2c8',4,1.79587450432723164561e+09,'painted by pico in 0.25 s');
INSERT INTO "lines" VALUES('3ab1bb63-7acb-4709-9448-9b113569e45c',0,1.79587450415612983698e+09,'step 1 of 4');
INSERT INTO "lines" VALUES('3ab1bb63-7acb-4709-9448-9b113569e45c',1,1.79587450415622735025e+09,'step 2 of 4');
INSERT INTO "lines" VALUES('3ab1bb63-7acb-4709-9448-9b113569e45c',2,1.79587450416349744797e+09,'step 3 of 4');
INSERT INTO "lines" VALUES('3ab1bb63-7acb-4709-9448-9b113569e45c',3,1.79587450417567324641e+09,'step 4 of 4');
INSERT INTO "lines" VALUES('3ab1bb63-7acb-4709-9448-9b113569e45c',4,1.79587450434953308105e+09,'painted by pico in 0.25 s');
CREATE TABLE parts (
	upload VARCHAR(64) NOT NULL, 
	number INTEGER NOT NULL, 
	size BIGINT NOT NULL, 
	CONSTRAINT pk_parts PRIMARY KEY (upload, number)
);
CREATE TABLE repeats (
	name VARCHAR(64) NOT NULL, 
	content VARCHAR(64) NOT NULL, 
	job VARCHAR(64) NOT NULL, 
	created FLOAT NOT NULL, 
	CONSTRAINT pk_repeats PRIMARY KEY (name)
);
CREATE TABLE secrets (
	name VARCHAR(64) NOT NULL, 
	value BLOB NOT NULL, 
	CONSTRAINT pk_secrets PRIMARY KEY (name)
);
INSERT INTO "secrets" VALUES('files',X'6361656639643933343436336230313838643233623661336565633531646534');
INSERT INTO "secrets" VALUES('tokens',X'A771A32CC3AC359351A8666C4703B3C40F16A29C7BF04164BA5F4F2566F84584');
INSERT INTO "secrets" VALUES('names',X'C3706A39F64F665267FD6C501581A5CDDBA58026950E869C4705B74E243EDE1B');
INSERT INTO "secrets" VALUES('webhooks',X'DCEA870A95CA1CA0DA4074E6A9DD920B0395F7F90722B2F605C8979252462B5F');
CREATE TABLE servers (
	name VARCHAR(64) NOT NULL, 
	seen FLOAT NOT NULL, 
	CONSTRAINT pk_servers PRIMARY KEY (name)
);
CREATE TABLE uploads (
	id VARCHAR(64) NOT NULL, 
	"key" VARCHAR(255) NOT NULL, 
	caller VARCHAR(64) NOT NULL, 
	name TEXT NOT NULL, 
	content_type TEXT NOT NULL, 
	created FLOAT NOT NULL, 
	keep FLOAT, 
	public BOOLEAN NOT NULL, 
	parts BOOLEAN NOT NULL, held BIGINT DEFAULT 0 NOT NULL, 
	CONSTRAINT pk_uploads PRIMARY KEY (id)
);
CREATE INDEX ix_files_expires ON files (expires);
CREATE INDEX ix_files_job ON files (job);
CREATE INDEX ix_jobs_finished ON jobs (finished);
CREATE INDEX ix_uploads_created ON uploads (created);
CREATE INDEX ix_jobs_caller ON jobs (door, caller, created);
CREATE INDEX ix_jobs_flow ON jobs (flow, status, turn);
CREATE INDEX ix_jobs_begun ON jobs (priority, turn) WHERE started IS NOT NULL;
CREATE INDEX ix_jobs_suspected ON jobs (status) WHERE begun >= 2;
CREATE INDEX ix_jobs_queue ON jobs (status, priority, ready, turn, id);
CREATE INDEX ix_deliveries_due ON deliveries (lane, due);
CREATE INDEX ix_repeats_created ON repeats (created);
COMMIT;
